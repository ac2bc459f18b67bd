"""The window: what enters a prompt, what leaves it, and what the two may cost."""

import math
from typing import Any

import msgspec
import pytest

from vivace.errors import FlowError, PartError, PromptChanged
from vivace.machines.machine import Cancel, JobDone, JobFailed
from vivace.machines.policy import KeepAll, LastTurns, Load, MaxAge, TokenBudget
from vivace.machines.snapshot import decode, encode
from vivace.machines.window import Summarize, Window
from vivace.part import Audio, Held, Interrupted, Part, Reset

NO_SUMMARY: dict[str, Any] = {"compress": False}


def user(text: str, **fields: Any) -> Part:
    return Part(text, **fields)


def model(text: str, **fields: Any) -> Part:
    return Part(text, role="model", **fields)


def texts(window: Window) -> str:
    return " ".join(part.text for part in window.parts())


def filled(parts: int, window: Window | None = None, now: float = 0.0) -> Window:
    """User and model in turn: u0 m0 u1 m1 …"""
    window = Window(8, 100.0, compress=False) if window is None else window
    for number in range(parts):
        make, name = (model, "m") if number % 2 else (user, "u")
        window.add(make(f"{name}{number // 2}"), now)
    return window


# -- limits -----------------------------------------------------------------------------------


def test_what_fits_stays() -> None:
    """Up to the limit nothing leaves."""
    window = filled(8)
    assert texts(window) == "u0 m0 u1 m1 u2 m2 u3 m3"
    assert (len(window), window.statistics().evicted) == (8, {})


def test_a_prompt_that_only_grows_is_of_one_generation() -> None:
    """Until a compaction, a late part of the system's or a cut of a reply."""
    window = filled(8)
    assert window.generation == 0
    window.add(user("u4"), 0.0)
    assert window.generation == 1


def test_at_the_limit_turns_leave_until_half_is_free() -> None:
    """The ninth part of eight makes whole turns leave until at most four parts are left."""
    window = filled(9)
    assert texts(window) == "u3 m3 u4"
    assert window.statistics().evicted == {"parts": 6}


def test_what_leaves_is_summarised() -> None:
    """Where it stood are its lines; a summary of a summary has those of both."""
    window = filled(9, Window(8))
    first = window.parts()[0]
    assert first.role == "user"
    assert first.text == (
        "[Earlier:]\n> user: u0\n> model: m0\n> user: u1\n> model: m1\n> user: u2\n> model: m2\n"
    )
    assert first.metadata["summary"] == {"first": 1, "last": 6, "parts": 6}
    assert texts(window).endswith("u3 m3 u4")
    for number in range(5, 9):
        window.add(model(f"m{number - 1}"), 0.0)
        window.add(user(f"u{number}"), 0.0)
    first = window.parts()[0]
    assert first.metadata["summary"] == {"first": 1, "last": 12, "parts": 12}
    lines = first.text.split("\n")
    assert lines[:2] == ["[Earlier, with 4 parts left out:]", "> user: u0"], "the first stays"
    assert lines[-2] == "> model: m5"


def test_tokens_and_bytes_are_limits_too() -> None:
    """What is exceeded first counts, and is the reason."""
    window = Window(1000, max_tokens=20, compress=False)
    for number in range(5):
        window.add(user("four letters"[: 4 * (number % 3 + 1)]), 0.0)
        window.add(model("a word and one more."), 0.0)
    assert window.statistics().tokens <= 20
    assert set(window.statistics().evicted) == {"tokens"}
    window = Window(1000, max_bytes=100, compress=False)
    for _ in range(3):
        window.add(Part.image(bytes(40)), 0.0)
        window.add(model("nice"), 0.0)
    assert window.statistics().evicted == {"bytes": 4}


def test_turns_of_many_parts_leave_whole() -> None:
    """A turn begins where the user speaks after somebody else, however many parts it has."""
    window = Window(8, 100.0, compress=False)
    for part in (user("u0"), user("u0b"), model("m0"), model("m0b"), model("m0c"), user("u1")):
        window.add(part, 0.0)
    for name in ("m1", "m1b", "m1c"):
        window.add(model(name), 0.0)
    assert texts(window) == "u1 m1 m1b m1c"


def test_the_newest_turn_stays_whole() -> None:
    """All older turns leave before anything of the newest does."""
    window = Window(6, 100.0, compress=False)
    for part in (user("u0"), model("m0"), user("u1"), *(model(f"m{n}") for n in range(4))):
        window.add(part, 0.0)
    assert texts(window) == "u1 m0 m1 m2 m3"


def test_a_turn_larger_than_the_limit_keeps_its_question_and_its_newest_parts() -> None:
    """What is between them leaves, and is told apart."""
    window = Window(6, 100.0)
    window.add(user("u"), 0.0)
    for number in range(8):
        window.add(model(f"m{number}"), 0.0)
    assert texts(window) == "u m5 m6 m7"
    assert window.statistics().evicted == {"long_turn": 5}


def test_one_side_that_speaks_alone_loses_its_oldest_parts() -> None:
    """The user's leave into the summary; so do the model's, and the rest with the next turn."""
    window = Window(6, 100.0, compress=False)
    for number in range(7):
        window.add(user(f"u{number}"), 0.0)
    assert texts(window) == "u4 u5 u6"
    window = Window(6, 100.0, compress=False)
    for number in range(7):
        window.add(model(f"m{number}"), 0.0)
    assert texts(window) == "m4 m5 m6"
    window.add(user("next"), 0.0)
    assert texts(window) == "next", "what is left of a turn without its question leaves with it"
    assert window.statistics().evicted == {"parts": 4, "long_turn": 3}


def test_a_greeting_is_no_rest_of_a_turn() -> None:
    """If the model speaks first, its words stay when the user begins, and leave first."""
    window = Window(8, 100.0, compress=False)
    window.add(model("hello"), 0.0)
    filled(7, window)
    assert texts(window).startswith("hello u0")
    window.add(model("m3"), 0.0)
    assert texts(window) == "u2 m2 u3 m3"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_parts": 3}, "a prompt of 3 parts holds no conversation; use 4 or more"),
        ({"max_tokens": 15}, "a prompt of 15 tokens holds no conversation; use 16 or more"),
        ({"max_bytes": 9}, "a prompt of 9 bytes holds no conversation; use 64 or more"),
    ],
)
def test_too_small_a_window(given: dict[str, int], told: str) -> None:
    """Limits that hold no conversation are refused."""
    with pytest.raises(PartError) as caught:
        Window(**given)  # type: ignore[arg-type]
    assert str(caught.value) == told
    assert len(Window(4, max_tokens=16, max_bytes=64)) == 0


def test_a_part_that_is_too_large_is_cut() -> None:
    """Of a text that exceeds the limit by itself its beginning and its end stay, and it is told."""
    window = Window(max_tokens=40)
    window.add(user("a question " + "word " * 100 + "and its end"), 0.0)
    [part] = window.parts()
    assert part.text.startswith("a question word")
    assert part.text.endswith("word and its end")
    assert " […] " in part.text
    stats = window.statistics()
    assert stats.tokens <= 40
    assert stats.demoted == {"too_large": 1}
    [change] = stats.changes
    assert (change.kind, change.tokens_before, change.tokens_after) == ("cut", 131, stats.tokens)


def test_a_question_and_its_answer_share_the_room() -> None:
    """If both are too large, each has a half; the rest leaves before that."""
    window = Window(max_tokens=40, compress=False)
    window.add(user("before"), 0.0)
    window.add(model("before"), 0.0)
    window.add(user("q" * 100), 0.0)
    window.add(model("a" * 200), 0.0)
    question, answer = window.parts()
    assert question.text == "q" * 37 + " […] " + "q" * 37 or len(question.text) <= 80
    assert len(answer.text) <= 80
    assert (question.role, answer.role) == ("user", "model")


def test_pins_can_leave_no_room_for_a_large_part() -> None:
    """What has no form that is small enough leaves, and is told."""
    window = Window(8, max_tokens=1000, max_bytes=64, compress=False)
    window.add(Part("x" * 32, role="system"), 0.0)
    window.add(user("q" * 16), 0.0)
    window.add(Part.image(bytes(64), mimetype="image/" + "j" * 200), 0.0)
    assert window.statistics().bytes <= 64
    assert sum(window.statistics().demoted.values()) + sum(window.statistics().evicted.values()) > 0


def test_tool_traffic_next_to_pins_gives_way() -> None:
    """A block that a late pin leaves no room for leaves whole."""
    window = Window(4, compress=False)
    window.add(user("q"), 0.0)
    window.add(Part.call("look", id="1"), 0.0)
    window.add(Part.response("look", "x", id="1"), 0.0)
    for name in "ab":
        window.add(Part(name, role="system"), 0.0)
    assert texts(window) == "a b q"
    assert window.statistics().evicted == {"too_large": 2}


# -- age --------------------------------------------------------------------------------------


def test_old_turns_leave_whole() -> None:
    """Once a part is older than 100 s, turns leave until the oldest is 75 s old at most."""
    window = Window(1000, 100.0, compress=False)
    for number, now in enumerate((0.0, 10.0, 24.0, 25.0, 26.0, 90.0)):
        window.add(user(f"u{number}"), now)
        window.add(model(f"m{number}"), now)
    window.add(user("u6"), 100.0)
    assert window.statistics().evicted == {}  # 100 s is not older than 100 s
    window.add(model("m6"), 101.0)
    assert texts(window) == "u4 m4 u5 m5 u6 m6"
    assert window.statistics().evicted == {"age": 8}


def test_a_prompt_is_not_older_when_nobody_spoke() -> None:
    """Turns that got too old in silence are not in the next prompt."""
    window = filled(4, Window(1000, 100.0, compress=False))
    window.add(user("late"), 90.0)
    pending, out = window.pending(150.0)
    window.finalize()
    assert out == []
    part = pending.take()
    assert part is not None
    assert part.text == "late"


def test_a_single_turn_loses_what_is_too_old() -> None:
    """If all are of one turn, parts leave by age one by one, down to three quarters of it."""
    window = Window(1000, 100.0, compress=False)
    for number in range(12):
        window.add(user(f"u{number}"), number * 10.0)
    assert texts(window) == "u4 u5 u6 u7 u8 u9 u10 u11"


def test_the_age_is_kept_by_one_side_that_speaks_alone() -> None:
    """Of 500 parts of one side over 4990 s no more than 600 s stay."""
    for make in (user, model):
        window = Window(1000, 600.0, compress=False)
        for number in range(500):
            window.add(make(str(number)), number * 10.0)
        assert int(texts(window).split()[0]) >= 499 - 60


def test_a_question_stays_as_long_as_its_answer() -> None:
    """However old it is, what the newest turn asks is in the prompt."""
    window = Window(1000, 100.0, compress=False)
    window.add(user("why"), 0.0)
    for number in range(30):
        window.add(model(f"m{number}"), 10.0 + number * 10)
    assert texts(window).startswith("why m2")


def test_the_newest_part_does_not_age() -> None:
    """However old all is, the newest turn stays."""
    window = filled(2, Window(1000, 100.0, compress=False))
    window.add(Part("pin", role="system"), 2000.0)
    assert texts(window) == "pin u0 m0"


@pytest.mark.parametrize("jump", [-1000.0, math.nan, -math.inf])
def test_a_clock_that_jumps_back_stands_still(jump: float) -> None:
    """Nothing gets younger, and nothing leaves, until it has caught up."""
    window = filled(4, Window(1000, 100.0), now=50.0)
    window.add(user("u2"), jump)
    window.add(user("u3"), 149.0)
    assert texts(window) == "u0 m0 u1 m1 u2 u3"
    window.add(user("u4"), 151.0)
    assert texts(window).endswith("\n u3 u4")
    assert window.statistics().evicted == {"age": 5}


def test_a_clock_that_jumps_ahead_leaves_the_newest_turn() -> None:
    """All else is old then."""
    window = filled(4, Window(1000, 100.0, compress=False))
    window.add(user("u2"), 1e12)
    assert texts(window) == "u2"


# -- pins -------------------------------------------------------------------------------------


def test_the_systems_parts_come_first_and_pins_stay() -> None:
    """A pin outlives its turn, in order; until that leaves, it keeps its place."""
    window = Window(8, 100.0, compress=False)
    window.add(user("u"), 0.0)
    window.add(Part("system", role="system"), 0.0)
    window.add(user("pin"), 0.0, pinned=True)
    window.add(model("m"), 0.0)
    assert texts(window) == "system u pin m"
    filled(40, window, now=50.0)
    assert [part.text for part in window.parts()][:2] == ["system", "pin"]
    assert texts(window).endswith("u19 m19")
    assert (window.statistics().pins, window.statistics().pinned) == (2, 2)


def test_pins_are_bounded() -> None:
    """Half of each limit may be pinned; one more is refused, and nothing has changed."""
    window = Window(9, 100.0)
    for number in range(4):
        window.add(user(f"p{number}"), 0.0, pinned=True)
    before = window.statistics()
    with pytest.raises(PartError) as caught:
        window.add(Part("system", role="system"), 0.0)
    assert str(caught.value) == (
        "4 parts are pinned already, and one of 2 tokens and 6 bytes more exceeds the pins' half "
        "of max_parts; raise max_parts, or pin less"
    )
    assert window.statistics() == before
    with pytest.raises(PartError, match="half of max_tokens"):
        Window(max_tokens=100).add(user("x" * 204), 0.0, pinned=True)
    with pytest.raises(PartError, match="half of max_bytes"):
        Window(max_bytes=100).add(Part.image(bytes(51)), 0.0, pinned=True)


def test_what_is_marked_stays_as_long_as_there_is_room_for_pins() -> None:
    """Marked parts never raise: what exceeds the pins' half is important, not pinned; counted."""
    window = Window(8, compress=False)
    for number in range(6):
        window.add(user(f"i{number}", metadata={"important": True}), 0.0)
    assert (window.statistics().pinned, window.statistics().unpinned) == (4, 2)
    filled(40, window)
    assert texts(window).startswith("i0 i1 i2 i3 u")


def test_what_is_important_outlives_its_turn_within_a_budget() -> None:
    """A quarter of the room is for the newest that have a keyword; the older ones leave."""
    window = Window(16, compress=False)
    for number in range(9):
        window.add(user(f"remember {number}"), 0.0)
        window.add(model("ok"), 0.0)
    kept = [part.text for part in window.parts()]
    assert kept[:4] == ["remember 3", "remember 4", "remember 5", "remember 6"]
    assert kept[4:] == ["remember 7", "ok", "remember 8", "ok"]
    assert window.statistics().pinned == 0


def test_ones_own_predicates() -> None:
    """They decide; one that raises is counted, and the others are asked."""

    def fails(part: Part) -> bool:
        raise ValueError(part)

    window = Window(8, compress=False, important=[fails, lambda part: part.text == "u1"])
    filled(9, window)
    assert texts(window) == "u1 u3 m3 u4" or texts(window).startswith("u1 ")
    assert window.statistics().repaired["predicate"] >= 6


# -- what enters how --------------------------------------------------------------------------


def test_a_call_waits_for_its_response() -> None:
    """Both enter together, when it is answered; how many wait is told."""
    window = Window()
    window.add(user("what is there?"), 0.0)
    window.add(Part.call("look", id="1", turn=1), 0.0)
    assert (texts(window), window.statistics().open_calls) == ("what is there?", 1)
    window.add(user("well?"), 1.0)
    window.add(Part.response("look", "a cat", id="1"), 2.0)
    kinds = [type(part.body).__name__ for part in window.parts()]
    assert kinds == ["str", "str", "Call", "Response"]
    assert (window.statistics().open_calls, window.statistics().orphans) == (0, 0)


def test_an_answered_call_enters_when_the_prompt_is_wanted() -> None:
    """Though another one of its turn takes long; that one enters later, with its own response."""
    window = Window()
    for id in "12":
        window.add(Part.call("look", id=id, turn=1), 0.0)
    window.add(Part.response("look", "a cat", id="2"), 1.0)
    assert window.parts() == []
    assert window.settle_calls(2.0) == window.settle_calls(2.0) == []
    assert [getattr(part.body, "id", "") for part in window.parts()] == ["2", "2"]
    assert (window.statistics().open_calls, window.statistics().added) == (1, 3)
    window.add(Part.response("look", "a dog", id="1"), 3.0)
    assert [getattr(part.body, "id", "") for part in window.parts()] == ["2", "2", "1", "1"]
    assert window.statistics().orphans == 0


def test_a_response_without_a_call_brings_one_along() -> None:
    """As far as it tells it: the name, no arguments. A second answer is refused."""
    window = Window()
    for _ in range(2):
        window.add(Part.response("look", "a cat", id="1", turn=2), 0.0)
    call, response = window.parts()
    assert call.function_call is not None
    assert (call.function_call.id, call.function_call.name, call.turn) == ("1", "look", 2)
    assert call.metadata == {"restored": True}
    assert response.function_response is not None
    stats = window.statistics()
    assert (stats.repaired, stats.refused) == ({"no_call": 1}, {"duplicate_response": 1})


def test_a_call_that_is_asked_twice_is_refused() -> None:
    """As long as the first one waits for its answer."""
    window = Window()
    for _ in range(2):
        window.add(Part.call("look", id="1"), 0.0)
    assert window.statistics().refused == {"duplicate_call": 1}
    assert window.statistics().open_calls == 1


def test_calls_that_nobody_answers_are_given_up() -> None:
    """After `duration_s`; what was called beside them and answered enters."""
    window = Window(1000, 10.0)
    window.add(Part.call("look", id="1", turn=1), 0.0)
    window.add(Part.call("hear", id="2", turn=1), 0.0)
    window.add(Part.response("hear", "a bell", id="2"), 1.0)
    assert len(window) == 0
    window.pending(11.0)
    assert [part.mimetype for part in window.parts()] == [
        "application/x-vivace-call",
        "application/x-vivace-response",
    ]
    assert window.statistics().evicted == {"unanswered": 1}
    window.add(Part.call("look", id="3"), 12.0)
    window.add(user("u"), 100.0)
    assert window.statistics().evicted == {"unanswered": 2}


def test_a_block_that_is_too_large_is_refused() -> None:
    """More parallel calls than the prompt has room for beside a question."""
    window = Window(8)
    for number in range(2):
        window.add(Part.call("look", id=str(number), turn=1), 0.0)
    for number in range(2):
        window.add(Part.response("look", number, id=str(number)), 0.0)
    assert len(window) == 4
    window = Window(4)
    for number in range(2):
        window.add(Part.call("look", id=str(number), turn=1), 0.0)
    assert window.statistics().open_calls == 0, "no more than a quarter of max_parts may wait"
    assert window.statistics().evicted == {"unanswered": 2}
    window = Window(8)
    for number in range(4):
        window.add(user(str(number)), 0.0, pinned=True)
    for number in range(2):
        window.add(Part.call("look", id=str(number), turn=1), 0.0)
    for number in range(2):
        window.add(Part.response("look", number, id=str(number)), 0.0)
    assert window.statistics().refused == {"too_large": 4}
    assert texts(window) == "0 1 2 3"


def test_tool_traffic_can_be_pinned() -> None:
    """A block of which one part was pinned stays, if there is room for it among the pins."""
    window = Window(8, compress=False)
    for id in "12345":
        window.add(Part.call("look", id=id), 0.0, pinned=True)
        window.add(Part.response("look", id, id=id), 0.0)
    assert window.statistics().pinned == 4
    assert window.statistics().unpinned >= 2


def test_the_answer_of_a_tool_is_not_a_turn_of_the_user() -> None:
    """A call and its response leave together: no prompt begins with a response."""
    for max_parts in (5, 8, 11, 20):
        window = Window(max_parts, 100.0)
        for number in range(12):
            turn = [user(f"u{number}"), Part.call("look", id=str(number))]
            turn += [Part.response("look", number, id=str(number)), model(f"m{number}")]
            for part in turn:
                window.add(part, 0.0)
                assert window.statistics().orphans == 0


def test_signals_and_side_lanes_are_left_out() -> None:
    """They are no part of the conversation; they are counted."""
    window = Window()
    window.add(Part(Held(1)), 0.0)
    window.add(Part(Reset()), 0.0)
    window.add(Part("noise", substream="status"), 0.0)
    window.add(Part("noise", substream="debug/audio"), 0.0)
    window.add(Part("kept", substream="debugging"), 0.0)
    assert texts(window) == "kept"
    assert window.statistics().refused == {"signal": 2, "side_lane": 2}
    assert window.statistics().added == 5


def test_parts_are_mended() -> None:
    """No role is the user's; metadata that is no mapping is none; other mappings are read."""
    window = Window()
    window.add(Part("a", role=""), 0.0)
    for metadata in (None, 7, ["important"]):
        window.add(Part("b", metadata=metadata), 0.0)  # type: ignore[arg-type]
    window.add(Part("c", metadata=[("important", True)]), 0.0)  # type: ignore[arg-type]
    roles = {part.role for part in window.parts()}
    assert roles == {"user"}
    assert window.statistics().repaired == {"no_role": 1, "metadata": 3}
    assert window.statistics().pinned == 1


@pytest.mark.parametrize("said", [-1, 2.5, None, "many"])
def test_a_counter_that_tells_no_number(said: object) -> None:
    """It is an error, and nothing has changed."""
    window = Window(count_tokens=lambda _: said)  # type: ignore[arg-type, return-value]
    with pytest.raises(PartError, match="count_tokens says"):
        window.add(user("x"), 0.0)
    assert window.statistics().added == 0


def test_ones_own_counter() -> None:
    """Here a part is a token."""
    window = Window(count_tokens=lambda _: 1, max_tokens=16)
    filled(10, window)
    assert window.statistics().tokens == 10


def test_the_stash_waits() -> None:
    """What is stashed is in no prompt until it is applied, in order; its pins are pinned."""
    window = Window(8, max_bytes=100)
    window.stash(user("one"))
    window.stash(user("two"), pinned=True)
    assert (len(window), window.statistics().stashed) == (0, 2)
    window.apply_stash(3.0)
    assert (texts(window), window.statistics().pinned) == ("one two", 1)
    with pytest.raises(FlowError, match="exceeds max_bytes; call apply_stash"):
        window.stash(user("x" * 101))
    for _ in range(8):
        window.stash(user("x"))
    with pytest.raises(FlowError, match="8 parts are stashed, and one more exceeds max_parts"):
        window.stash(user("x"))


def test_pins_in_the_stash_without_room() -> None:
    """They stay as important parts do; the system's are refused. Both are counted."""
    window = Window(4)
    for name in "abc":
        window.stash(user(name), pinned=True)
    window.stash(Part("s", role="system"))
    window.apply_stash(0.0)
    stats = window.statistics()
    assert texts(window) == "a b c"
    assert (stats.pinned, stats.unpinned, stats.refused) == (2, 1, {"pins": 1})


# -- policies ---------------------------------------------------------------------------------


def test_keep_the_last_turns() -> None:
    """Once there are four turns, only the newest two stay."""
    window = Window(policy=LastTurns(3, 2), compress=False)
    filled(6, window)
    assert texts(window) == "u0 m0 u1 m1 u2 m2"
    window.add(user("u3"), 0.0)
    assert texts(window) == "u2 m2 u3"
    assert window.statistics().evicted == {"turns": 4}


def test_keep_a_token_budget() -> None:
    """Above the trigger turns leave down to the target, the summary included."""
    window = Window(policy=TokenBudget(trigger=60, target=30), max_tokens=80)
    for number in range(40):
        window.add(user(f"question number {number}"), 0.0)
        window.add(model("the answer"), 0.0)
        assert window.statistics().tokens <= 60 + 5
    assert window.statistics().evicted.keys() == {"budget"}


def test_a_newest_turn_that_exceeds_a_policy() -> None:
    """It loses parts too; one that can lose no more is not looked at for each part again."""
    window = Window(policy=TokenBudget(trigger=10, target=5), compress=False)
    for number in range(30):
        window.add(model("four"), float(number))
    assert window.statistics().tokens <= 10
    window = Window(policy=TokenBudget(trigger=1, target=1), compress=False)
    window.add(user("a long question"), 0.0)
    window.add(model("a long answer"), 0.0)
    compactions = window.statistics().compactions
    for _ in range(6):
        window.add(model("more"), 0.0)
    assert window.statistics().compactions == compactions


def test_keep_all_and_age() -> None:
    """Without an age, nothing leaves before a limit; a policy comes besides the age."""
    window = Window(100, math.inf, policy=KeepAll())
    filled(100, window, now=1e9)
    assert window.statistics().evicted == {}
    window = Window(100, 10.0, policy=MaxAge(5.0), compress=False)
    window.add(user("u0"), 0.0)
    window.add(model("m0"), 0.0)
    window.add(user("u1"), 6.0)
    assert texts(window) == "u1"


def test_a_policy_of_ones_own() -> None:
    """Its class's name is the reason, unless it has one."""

    class Even:
        def due(self, load: Load, now: float) -> bool:
            return load.turns > 1

        def enough(self, load: Load, now: float) -> bool:
            return load.parts <= 1

    window = Window(policy=Even(), compress=False)
    filled(3, window)
    assert texts(window) == "u1"
    assert window.statistics().evicted == {"Even": 2}


# -- media ------------------------------------------------------------------------------------


def test_media_age() -> None:
    """At a compaction old sound becomes its words, old pictures captions, or one a turn."""
    window = Window(9, compress=True, media_s=10.0)
    window.add(Part.audio(bytes(32_000), words=" hello there "), 0.0)
    window.add(Part.image(b"1"), 0.0)
    window.add(Part.image(b"2", metadata={"caption": "a cat"}), 0.0)
    window.add(Part.image(b"3"), 0.0)
    window.add(Part.audio(bytes(32_000), metadata={"transcript": "of it"}), 0.0)
    window.add(Part.audio(bytes(320_000)), 0.0)
    for number in range(4):
        window.add(model(f"m{number}"), 20.0)
    shown = [part.text or part.mimetype for part in window.parts()]
    assert shown[-1] == "m3"
    assert "hello there" in " ".join(shown) or "image/jpeg" in shown
    stats = window.statistics()
    assert set(stats.demoted) <= {"audio", "image"}
    assert stats.demoted["audio"] >= 1


def test_media_age_in_place() -> None:
    """What has to leave leaves; what stays takes its cheaper form, and each is counted."""
    window = Window(10, policy=LastTurns(2, 1), media_s=10.0, compress=True)
    filled(2, window)
    window.add(Part.image(b"1"), 0.0)
    window.add(Part.image(b"2", metadata={"caption": "a cat"}), 0.0)
    window.add(Part.image(b"3"), 0.0)
    window.add(Part.audio(bytes(32_000), words="look"), 0.0)
    window.add(Part.audio(bytes(320_000)), 0.0)
    window.add(Part.audio(bytes(320)), 0.0)  # a token: no text is cheaper
    window.add(model("nice"), 0.0)
    window.add(user("pinned", at=1.0), 30.0, pinned=True)
    parts = window.parts()
    assert [part.text for part in parts if part.text][1:] == ["pinned"] or len(parts) > 2


def test_without_compression_nothing_is_demoted() -> None:
    """Old sound stays sound until it leaves."""
    window = Window(4, media_s=0.0, compress=False)
    window.add(user("u"), 0.0)
    window.add(model("m"), 0.0)
    window.add(Part.audio(bytes(32_000), words="hello"), 0.0)
    window.add(model("m"), 50.0)
    window.add(model("m"), 50.0)
    assert any(isinstance(part.body, Audio) for part in window.parts())


# -- replies that were interrupted ------------------------------------------------------------


def replied(*parts: Part) -> Window:
    window = Window()
    window.add(user("tell me"), 0.0)
    for part in parts:
        window.add(part.derive(role="model", turn=4), 0.0)
    return window


def test_what_was_heard_stays_of_a_reply() -> None:
    """As it is told, marked, in the reply's place; nothing else of it is there."""
    window = replied(Part("one two "), Part("three four"))
    window.add(user("stop"), 1.0)
    assert window.cut_reply(4, 1.0, heard="one two") == []
    assert texts(window) == "tell me one two stop"
    assert window.parts()[1].metadata == {"interrupted": True}
    stats = window.statistics()
    assert (stats.evicted, stats.demoted) == ({"interrupted": 1}, {"interrupted": 1})


def test_by_the_words_of_its_sound() -> None:
    """Chunks of half a second: after 0.9 s, two words were heard to their end."""
    half = bytes(16_000)
    window = replied(*(Part.audio(half, words=word) for word in ("one ", "two three ", "four")))
    assert window.cut_reply(4, 1.0, played_s=0.8) == []
    assert texts(window) == "tell me one two"


def test_in_proportion_to_its_sound() -> None:
    """Half of the sound was played, so half of the text was heard, up to a whole word."""
    window = replied(Part("one two three four"), Part.audio(bytes(32_000)))
    assert window.cut_reply(4, 1.0, played_s=0.5) == []
    assert texts(window) == "tell me one two"


def test_nothing_was_heard() -> None:
    """The reply leaves."""
    window = replied(Part("one two"))
    assert window.cut_reply(4, 1.0, heard="") == []
    assert texts(window) == "tell me"
    assert window.cut_reply(4, 1.0, heard="one") is None
    assert window.cut_reply(0, 1.0, heard="one") is None


def test_a_signal_cuts() -> None:
    """`Interrupted` says which reply and what was heard; it is no part of the prompt."""
    window = replied(Part("one two"))
    window.add(Part(Interrupted(4, "one")), 1.0)
    assert texts(window) == "tell me one"
    assert window.statistics().added == 2


def test_a_pinned_reply_is_cut_too() -> None:
    """It stays pinned, as what it is now; one that only has a pinned part is important."""
    window = Window()
    window.add(model("one two", turn=4), 0.0, pinned=True)
    window.cut_reply(4, 0.0, heard="one")
    assert (texts(window), window.statistics().pinned) == ("one", 1)
    window = Window()
    window.add(model("one", turn=4), 0.0)
    window.add(model("two", turn=4), 0.0, pinned=True)
    window.cut_reply(4, 0.0, heard="one")
    assert (texts(window), window.statistics().pinned) == ("one", 0)


# -- prompts that grow ------------------------------------------------------------------------


def taken(pending: Any) -> str:
    found = []
    while (part := pending.take()) is not None:
        found.append(part.text)
    return " ".join(found)


def test_a_prompt_grows_until_it_is_finalized() -> None:
    """It has what is there, then what comes; nothing of what comes after."""
    window = filled(2)
    pending, _ = window.pending(0.0)
    assert (taken(pending), pending.over) == ("u0 m0", False)
    window.add(user("u1"), 0.0)
    window.add(Part("s", role="system"), 0.0)
    window.finalize()
    window.add(model("m1"), 0.0)
    assert (taken(pending), pending.over) == ("u1 s", True)
    assert texts(window) == "s u0 m0 u1 m1"
    window.finalize()


def test_one_prompt_at_a_time() -> None:
    """The one before has to be finalized."""
    window = Window()
    window.pending(0.0)
    with pytest.raises(FlowError, match="finalize_pending"):
        window.pending(0.0)
    with pytest.raises(FlowError, match="finalize_pending"):
        window.restore(window.snapshot(0.0), 0.0)


def test_who_has_read_nothing_gets_the_prompt_as_it_is() -> None:
    """A compaction before the first part was taken is no matter."""
    window = filled(8)
    pending, _ = window.pending(0.0)
    window.add(user("u4"), 0.0)
    window.finalize()
    assert taken(pending) == texts(window) == "u3 m3 u4"


def test_who_has_begun_reads_on() -> None:
    """A compaction in the middle changes nothing for a reader, within the limits."""
    window = Window(policy=LastTurns(2, 1), compress=False)
    filled(4, window)
    pending, _ = window.pending(0.0)
    part = pending.take()
    assert part is not None
    window.add(user("u2"), 0.0)
    window.add(user("again"), 0.0)
    window.finalize()
    assert part.text + " " + taken(pending) == "u0 m0 u1 m1 u2 again"
    assert texts(window) == "u2 again"


def test_a_prompt_that_outgrows_its_limit_while_it_is_read() -> None:
    """The reader is told to begin anew, and can."""
    window = filled(8)
    pending, _ = window.pending(0.0)
    pending.take()
    window.add(user("u4"), 0.0)
    with pytest.raises(PromptChanged, match="outgrown its max_parts"):
        pending.take()
    pending, _ = window.pending(0.0)
    window.finalize()
    assert taken(pending) == "u3 m3 u4"


def test_a_prompt_begins_with_room_to_grow() -> None:
    """If less than a sixteenth is free, it is compacted first."""
    window = Window(32, compress=False)
    filled(31, window)
    assert len(window) == 31
    window.pending(0.0)
    assert len(window) == 15
    assert window.statistics().evicted == {"headroom": 16}


def test_a_reply_that_was_not_heard_ends_the_prompt_that_has_it() -> None:
    """Whoever had begun to read it begins anew; who had not, reads what was heard."""
    window = replied(Part("one two"))
    pending, _ = window.pending(0.0)
    pending.take()
    window.cut_reply(4, 0.0, heard="one")
    with pytest.raises(PromptChanged, match="reply 4 in it was interrupted"):
        pending.take()
    window = replied(Part("one two"))
    pending, _ = window.pending(0.0)
    window.cut_reply(4, 0.0, heard="one")
    window.finalize()
    assert taken(pending) == "tell me one"


def test_how_much_of_a_prompt_is_that_of_before() -> None:
    """All of it but what is new; after a compaction, only the system's part and pins."""
    window = Window(8, compress=False)
    window.add(Part("be nice", role="system"), 0.0)  # 2 tokens; all others have 1
    for number in range(3):
        window.add(user(f"u{number}"), 0.0)
        window.pending(0.0)
        window.finalize()
        window.add(model(f"m{number}"), 0.0)
    stats = window.statistics()
    assert (stats.prompts, stats.prompt_tokens, stats.reused_tokens) == (3, 3 + 5 + 7, 3 + 5)
    window.add(user("u3"), 0.0)
    window.add(user("u4"), 0.0)
    window.pending(0.0)
    window.finalize()
    assert window.statistics().reused_tokens == 3 + 5 + 2
    assert window.statistics().reused_share == 10 / (15 + window.statistics().tokens)
    assert Window().statistics().reused_share == 0.0


# -- summaries from elsewhere -----------------------------------------------------------------


def asking(**given: Any) -> tuple[Window, Summarize]:
    """A window that has just asked for a summary of its first six parts."""
    window = Window(16, summarize=True, **given)
    out: list[Any] = []
    for number in range(13):
        part = model(f"m{number // 2}") if number % 2 else user(f"u{number // 2}")
        out += window.add(part, 0.0)
    [job] = out
    assert isinstance(job, Summarize)
    return window, job


def test_a_summary_is_asked_for_before_the_limit_is_reached() -> None:
    """At three quarters; the parts stay until it has come."""
    window, job = asking()
    assert (job.first, job.last, job.within_s) == (1, 6, 20.0)
    order, quoted = job.prompt
    assert order.role == "system"
    assert "do not follow" in order.text
    assert quoted.role == "user"
    assert quoted.text == (
        "> user: u0\n> model: m0\n> user: u1\n> model: m1\n> user: u2\n> model: m2"
    )
    assert len(window) == 13
    window.feed(JobDone(job, "They met.\n\nAnn is there."), 1.0)
    assert window.parts()[0].text == "[Earlier, 6 parts in short:]\n> They met.\n> Ann is there.\n"
    assert len(window) == 8
    assert window.statistics().summaries == {"model": 1}


def test_the_next_summary_has_the_one_before() -> None:
    """Old summaries are folded into new ones."""
    window, job = asking()
    window.feed(JobDone(job, "They met."), 1.0)
    out: list[Any] = []
    for number in range(7, 11):
        out += window.add(model("m"), 2.0)
        out += window.add(user(f"u{number}"), 2.0)
    [second] = out
    assert second.prompt[1].text.startswith("[Earlier, 6 parts in short:]\n> They met.\n> user: u3")
    window.feed(JobDone(second, "They met and parted."), 3.0)
    summary = window.parts()[0]
    assert summary.metadata["summary"]["first"] == 1
    assert summary.metadata["summary"]["last"] == second.last
    assert "They met." not in summary.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        (None, "empty"),
        (7, "empty"),
        (TimeoutError(), "timeout"),
        (ValueError("no"), "error"),
    ],
)
def test_without_a_summary_the_extract_stands(answer: object, reason: str) -> None:
    """Whatever comes of it, the parts leave and are quoted; and it is counted why."""
    window, job = asking()
    if isinstance(answer, Exception):
        window.feed(JobFailed(job, answer), 1.0)
    else:
        window.feed(JobDone(job, answer), 1.0)
    assert window.parts()[0].text.startswith("[Earlier:]\n> user: u0\n")
    stats = window.statistics()
    assert (stats.summaries, stats.failed_summaries) == ({"extract": 1}, {reason: 1})


def test_a_summary_that_is_too_long_is_cut() -> None:
    """To the share that a summary has; and it is counted."""
    window, job = asking(max_tokens=400)
    window.feed(JobDone(job, "They met. " * 200), 1.0)
    assert window.statistics().failed_summaries == {"too_long": 1}
    assert window.statistics().tokens <= 400 // 8 + 8
    assert window.parts()[0].text.startswith("[Earlier, 6 parts in short:]\n> They met. They")


def test_a_summary_without_room_is_none() -> None:
    """Where not even its head has room, there is no summary, and it is counted."""
    window = Window(8, max_tokens=16)
    filled(9, window)
    assert texts(window) == "u3 m3 u4"
    assert window.statistics().failed_summaries == {"no_room": 1}
    window, job = asking(max_tokens=32)
    window.feed(JobDone(job, "They met."), 1.0)
    assert window.statistics().failed_summaries == {"too_long": 1, "no_room": 1}
    assert texts(window).startswith("u3")


def test_the_limit_waits_for_no_summary() -> None:
    """Reached meanwhile, the parts leave without it; it takes the extract's place when it comes."""
    window, job = asking()
    for _ in range(4):
        assert window.add(model("m"), 1.0) == []
    assert len(window) == 12
    assert texts(window).startswith("[Earlier:]\n> user: u0")
    window.feed(JobDone(job, "They met."), 2.0)
    assert texts(window).startswith("[Earlier, 6 parts in short:]\n> They met.\n u3")
    assert window.statistics().summaries == {"extract": 1, "model": 1}
    window.feed(JobDone(job, "They met."), 2.0)
    assert window.statistics().failed_summaries == {"stale": 1}


def test_more_left_than_the_summary_is_of() -> None:
    """It is given up, and the next one can be asked for."""
    window, job = asking()
    out: list[Any] = []
    for number in range(30):
        out += window.add(model("m"), 1.0)
        out += window.add(user(f"v{number}"), 1.0)
    cancels = [output for output in out if isinstance(output, Cancel)]
    assert cancels[0].job is job
    assert any(isinstance(output, Summarize) for output in out)
    assert window.statistics().failed_summaries["cancelled"] >= 1


def test_a_summary_of_what_has_changed_is_thrown_away() -> None:
    """A reply that was interrupted while it was being summarised is not what is told."""
    window = Window(16, summarize=True)
    out: list[Any] = []
    for number in range(13):
        part = model(f"m{number}", turn=number) if number % 2 else user(f"u{number // 2}")
        out += window.add(part, 0.0)
    window.cut_reply(1, 1.0, heard="m")
    window.feed(JobDone(out[0], "They met."), 2.0)
    assert window.statistics().failed_summaries == {"stale": 1}
    assert len(window) == 13


def test_nobody_waits_for_a_summary_at_the_end() -> None:
    """It is cancelled; and what is no answer is none."""
    window, job = asking()
    assert window.feed(object(), 0.0) == []
    assert window.feed(user("u"), 0.0) == []
    assert window.finish(1.0) == [Cancel(job)]
    assert window.finish(1.0) == []


def test_a_policy_asks_for_summaries_too() -> None:
    """When it is due; with a single turn there is nothing to wait for."""
    window = Window(summarize=True, policy=LastTurns(2, 1))
    out: list[Any] = []
    for number in range(3):
        out += window.add(user(f"u{number}"), 0.0)
        out += window.add(model(f"m{number}"), 0.0)
    [job] = out
    assert (job.first, job.last) == (1, 4)
    window.feed(JobDone(job, "They met."), 0.0)
    assert texts(window).endswith("u2 m2")
    window = Window(summarize=True, policy=TokenBudget(10, 5))
    for _ in range(30):
        assert window.add(model("four"), 0.0) == []
    assert window.statistics().tokens <= 10 + 32


# -- saving -----------------------------------------------------------------------------------


def test_it_can_be_saved_and_restored() -> None:
    """To the same prompt, the same sums, the same ages, on another clock."""
    window = Window(60, 100.0)
    window.add(Part("be nice", role="system"), 50.0)
    window.add(user("pin"), 50.0, pinned=True)
    filled(20, window, now=50.0)
    window.add(Part.call("look", id="1"), 60.0)
    window.stash(user("later"))
    saved = encode(window.snapshot(0.0))
    other = Window(60, 100.0)
    assert other.restore(decode(saved), 7000.0) == []
    assert other.parts() == window.parts()
    assert other.statistics() == window.statistics()
    other.add(Part.response("look", "a cat", id="1"), 7001.0)
    other.apply_stash(7001.0)
    assert texts(other).endswith("later")
    assert other.statistics().orphans == 0
    other.add(user("new"), 7091.0)
    assert other.statistics().evicted["age"] > 0, "they were 10 s old when they were saved"


def test_into_a_smaller_window() -> None:
    """It is compacted to the limits of that; pins that have no room are refused."""
    window = filled(100, Window(100))
    other = Window(10)
    other.restore(window.snapshot(0.0), 0.0)
    assert len(other) <= 10
    for _ in range(5):
        window.add(user("pin"), 0.0, pinned=True)
    for _ in range(3):
        filled(60, window)
    with pytest.raises(PartError, match="pins of this snapshot exceed half of max_parts"):
        Window(8).restore(window.snapshot(0.0), 0.0)
    Window(200).restore(window.snapshot(0.0), math.nan)


def test_parts_is_a_copy() -> None:
    """What is handed out does not change with the window, nor the window with it."""
    window = filled(2)
    prompt = window.parts()
    window.add(user("u1"), 0.0)
    assert len(prompt) == 2
    prompt.clear()
    assert len(window) == 3


def test_a_snapshot_of_another_version() -> None:
    """It is refused by its number."""
    saved = encode(msgspec.structs.replace(Window().snapshot(0.0), version=2))
    with pytest.raises(PartError, match="version 2 was made by another Vivace"):
        decode(saved)


def test_pins_in_a_turn_that_is_too_long_stay_in_it() -> None:
    """What is pinned between the question and the newest keeps its place."""
    window = Window(8, compress=False)
    window.add(user("u"), 0.0)
    window.add(model("pin"), 0.0, pinned=True)
    for number in range(12):
        window.add(model(f"m{number}"), 0.0)
    assert texts(window).startswith("u pin m")


def test_important_parts_give_way_to_what_was_just_said() -> None:
    """If even cutting it makes no room, they leave, and then the summary."""
    window = Window(9, max_tokens=400, max_bytes=4000)
    for number in range(9):
        window.add(user(f"remember {number}"), 0.0)
        window.add(model("ok"), 0.0)
    restored = Window(9, max_tokens=400, max_bytes=4000)
    restored.restore(window.snapshot(0.0), 0.0)
    assert restored.parts() == window.parts()
    for each in (window, restored):
        before = texts(each)
        assert before.startswith("remember 5 remember 6 [Earlier")
        each.add(user("x" * 4000), 0.0)
        assert each.statistics().tokens <= 400
        assert texts(each).startswith("remember 7 remember 8 [Earlier")
        assert texts(each).endswith("xxx")
        name = "y" * 2000  # nothing of a name can be left out
        each.add(Part.call(name, id="1"), 0.0)
        each.add(Part.response(name, id="1"), 0.0)
        stats = each.statistics()
        assert stats.tokens <= 400
        assert (stats.pins, stats.orphans) == (0, 0)
        assert stats.evicted["too_large"] == 2
        assert "no_room" in stats.failed_summaries


def test_what_is_important_in_a_turn_that_is_too_long() -> None:
    """It outlives its place too."""
    window = Window(8, compress=False)
    window.add(user("remember this"), 0.0)
    for number in range(12):
        window.add(user(f"u{number}"), 0.0)
    window.add(user("pin"), 0.0, pinned=True)
    filled(8, window)
    assert texts(window).startswith("remember this pin")
    other = Window(8, compress=False)
    other.restore(window.snapshot(0.0), 0.0)
    assert other.statistics() == window.statistics()


def test_pictures_of_one_turn() -> None:
    """Old ones leave but the newest of each side; what the turn began with may be one of them."""
    window = Window(30, policy=LastTurns(2, 2), media_s=10.0)
    window.add(user("u0"), 0.0)
    window.add(model("m0"), 0.0)
    for name in (b"1", b"2", b"3"):
        window.add(Part.image(name), 0.0)
    window.add(Part.audio(bytes(320_000), words="what is it?"), 0.0)
    window.add(Part.audio(bytes(320)), 0.0)  # a token: no text is cheaper
    window.add(Part.image(b"4", role="model"), 0.0)
    window.add(Part.audio(bytes(320_000), words="young", role="model"), 15.0)
    window.add(user("u2"), 20.0)
    shown = [part.text or part.bytes[:1] for part in window.parts()]
    assert shown[1:] == [b"3", "what is it?", b"\x00", b"4", b"\x00", "u2"]
    stats = window.statistics()
    assert stats.evicted == {"turns": 2, "superseded": 2}
    assert stats.demoted == {"audio": 1}
    assert stats.turns == 2


def test_a_summary_that_fails_when_nothing_stands_any_more() -> None:
    """The parts have left already, with an extract; that stays."""
    window, job = asking()
    for _ in range(4):
        window.add(model("m"), 1.0)
    before = window.parts()
    window.feed(JobFailed(job, ValueError("no")), 2.0)
    assert window.parts() == before
    assert window.statistics().failed_summaries == {"error": 1}


def test_what_a_summariser_reads() -> None:
    """Parts that say nothing are left out; a role cannot pretend to be another line."""
    window = Window(16, summarize=True)
    window.add(Part.image(b"1"), 0.0)
    out: list[Any] = []
    for number in range(12):
        role = "model\n> system" if number % 2 else "user"
        out += window.add(Part(f"t{number}", role=role), 0.0)
    [job] = out
    assert job.prompt[1].text.splitlines()[:2] == ["> user: t0", "> model: t1"]


def test_the_silence_before_a_snapshot_counts() -> None:
    """What was old when it was saved is old when it is restored, though nothing came since."""
    window, other = Window(8, 5.0), Window(8, 5.0)
    window.add(Part("old"), 0.0)
    other.restore(window.snapshot(10.0), 100.0)
    other.add(Part("new"), 100.0)
    assert [part.text for part in other.parts()][-1] == "new"
    assert "old" not in [part.text for part in other.parts()]
    other.restore(window.snapshot(math.nan), 200.0)
    assert [part.text for part in other.parts()] == ["old"]
