"""The tools of a Gemini Live client: called there, and answered by it.

To the agent they are tools like any other, so that it waits for them, tells of them and does
without them as its own rules say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vivace.errors import StageError, ToolError
from vivace.machines.json_text import plain
from vivace.machines.tools import Scheduling, Timed, ToolRules
from vivace.processors.tool import Tool, Toolbox
from vivace.server.gemini_frames import Frame, call, called_in, cancellation
from vivace.server.gemini_wire import Refused, ToolAnswer, camel

__all__ = ["ClientTools", "result_of"]

_ANSWER_S = 120.0  # for a client to answer a call: it may have to ask somebody
_SCHEDULING = {"SILENT": Scheduling.SILENT, "INTERRUPT": Scheduling.INTERRUPT}
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_DIALECT = ("nullable", "propertyOrdering", "example", "type")


class ClientTools:
    """The tools of one session.

    declared: the client's declarations, by name. put: puts a frame on its way to the client. take:
    takes back those that are not on their way yet, and says how many there were.

    A reply waits for a function's answer unless that is declared NON_BLOCKING; then it ends, and
    the answer says when the agent is told: else once nobody speaks. What a reply waits for is
    cancelled with it.

    Raises Refused for declarations that make no sense.
    """

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, Any]],
        put: Callable[[Frame], None],
        take: Callable[[Callable[[Frame], bool]], int],
    ) -> None:
        self._put = put
        self._take = take
        self._asked: dict[str, asyncio.Future[ToolAnswer]] = {}
        self._count = 0
        try:
            self.toolbox: Toolbox = Toolbox([self._tool(it) for it in declared.values()])
        except StageError as error:
            raise Refused(1007, f"setup.tools: {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise Refused(1007, f"setup.tools.function_declarations: {error}") from error

    def answer(self, answer: ToolAnswer) -> bool:
        """The client has answered a call. False if it is none of these, or is not waited for."""
        asked = self._asked.get(answer.id)
        if asked is None or asked.done():
            return False
        asked.set_result(answer)
        return True

    def _tool(self, declaration: Mapping[str, Any]) -> Tool:
        waits = declaration.get("behavior") != "NON_BLOCKING"
        scheduling = Scheduling.BLOCKING if waits else Scheduling.WHEN_IDLE
        name = declaration["name"]
        return Tool(
            name,
            declaration.get("description") or "",
            _parameters(declaration),
            partial(self._call, name),
            ToolRules(scheduling, _ANSWER_S, cancellable=waits),
        )

    async def _call(self, name: str, args: Mapping[str, Any]) -> Any:
        args = plain(args)  # what the client could not read is an error of the call
        self._count += 1
        id = f"function-call-{self._count}"
        asked = self._asked[id] = asyncio.get_running_loop().create_future()
        self._put(call(name, args, id))
        try:
            answer = await asked
        except asyncio.CancelledError:
            # What the client has not been asked for yet, it need not be told to leave.
            if not self._take(lambda frame: id in called_in(frame)):
                self._put(cancellation(id))
            raise
        finally:
            del self._asked[id]
        result, error = result_of(answer)
        if error:
            raise ToolError(error)
        scheduling = _SCHEDULING.get(answer.scheduling)
        return result if scheduling is None else Timed(result, scheduling)


def result_of(answer: ToolAnswer) -> tuple[Any, str]:
    """What a tool answered: its result, and its error."""
    response = answer.response
    if error := response.get("error"):
        return None, str(error)
    return (response["output"] if set(response) == {"output"} else response), ""


# -- the schema of the parameters -----------------------------------------------------------------


def _parameters(declaration: Mapping[str, Any]) -> dict[str, Any]:
    fields = {camel(key): it for key, it in declaration.items()}
    if plain := fields.get("parametersJsonSchema"):
        return dict(plain)
    given = fields.get("parameters")
    return _json_schema(given) if given else {"type": "object", "properties": {}}


def _json_schema(given: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of what the service has its own dialect for: OpenAPI's, with types in capitals
    and 64-bit numbers as texts."""
    fields = {camel(key): it for key, it in given.items()}
    made = {key: it for key, it in fields.items() if key not in _DIALECT}
    kind = str(fields.get("type", "")).lower().removesuffix("type_unspecified")
    if kind:
        made["type"] = [kind, "null"] if fields.get("nullable") else kind
    if "properties" in made:
        made["properties"] = {key: _json_schema(it) for key, it in made["properties"].items()}
    if "items" in made:
        made["items"] = _json_schema(made["items"])
    if "anyOf" in made:
        made["anyOf"] = [_json_schema(it) for it in made["anyOf"]]
    return made | {key: int(made[key]) for key in _COUNTS if key in made}
