"""The order of a Gemini Live client's messages: what may come when, as the service has it."""

from __future__ import annotations

from vivace.models.live_facts import LiveFacts
from vivace.server.gemini_wire import (
    ActivityEnded,
    ActivityStarted,
    ClientMessage,
    Content,
    Setup,
    ToolAnswer,
    ToolAnswers,
    invalid,
)

__all__ = ["Order"]


class Order:
    """What may come when, over one connection. Raises Refused for what may not.

    facts: of the model. resumed: the session goes on, and knows what was said. history: turns are
    still history, up to those that are complete: no answer is wanted to any.
    """

    def __init__(self, setup: Setup, facts: LiveFacts, *, resumed: bool) -> None:
        if setup.thinking_level and not facts.thinking_level:
            raise invalid(f"thinking_level is not supported by {setup.model}")
        if setup.history and resumed:
            raise invalid("a resumed session takes no history")
        behaviours = [it.get("behavior") for it in setup.tools.values()]
        if "NON_BLOCKING" in behaviours and facts.tools == "blocking":
            raise invalid(f"{setup.model} takes only blocking function calls")
        self._setup = setup
        self._content = facts.content
        self._resumed = resumed
        self.history: bool = setup.history
        self._begun = False
        self.calls: dict[str, str] = {}  # names of the calls that wait for an answer, by id

    def check(self, message: ClientMessage) -> None:
        """May this come now? It is taken for having come."""
        match message:
            case Setup():
                raise invalid("setup may be sent once, as the first message")
            case Content():
                self._check_content(message)
            case ActivityStarted() | ActivityEnded() if self._setup.automatic:
                raise invalid(
                    "Explicit activity control is not supported when automatic activity detection "
                    "is enabled"
                )
            case ToolAnswers(answers=answers):
                for answer in answers:
                    self._check_answer(answer)
            case _:
                self._begun = True

    def _check_content(self, content: Content) -> None:
        if self.history:
            self.history = not content.complete
            return
        past = len(content.turns) > 1 or any(turn.role == "model" for turn in content.turns)
        if past and self._resumed:
            raise invalid("a resumed session takes no history again")
        if self._content == "seed" and (self._begun or self._resumed or content.complete):
            raise invalid(
                f"client_content is not supported by {self._setup.model} after the session has "
                "begun; use realtime_input"
            )
        self._begun = self._begun or content.complete

    def _check_answer(self, answer: ToolAnswer) -> None:
        ids = [id for id, name in self.calls.items() if id == answer.id]
        # A call that was given no id is answered by its name.
        ids = ids or [id for id, name in self.calls.items() if not id and name == answer.name]
        if not ids:
            raise invalid(f"no function call with the id {answer.id!r} waits for a response")
        del self.calls[ids[0]]
