"""Tool calls: each has one response; when it enters is a matter of who speaks."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.errors import StageError
from vivace.machines.machine import Cancel, JobDone, JobFailed
from vivace.machines.tools import (
    Ask,
    Enter,
    GoOn,
    RunTool,
    Scheduling,
    Timed,
    ToolCalls,
    ToolOutput,
    ToolRules,
    Who,
)
from vivace.part import Call, Part, Response

BLOCKING, WHEN_IDLE = Scheduling.BLOCKING, Scheduling.WHEN_IDLE
SILENT, INTERRUPT = Scheduling.SILENT, Scheduling.INTERRUPT
RULES: dict[str, ToolRules | None] = {
    "look": ToolRules(BLOCKING, 5.0),
    "order": ToolRules(WHEN_IDLE, 10.0),
    "note": ToolRules(SILENT, 10.0),
    "alarm": ToolRules(INTERRUPT, 60.0),
    "search": ToolRules(BLOCKING, 5.0, cancellable=True),
    "lamp": None,
}


class Bench:
    """The conversation around the machine: does nothing but keep what came out."""

    def __init__(self, rules: Mapping[str, ToolRules | None] = RULES, **bounds: Any) -> None:
        self.machine = ToolCalls(rules, **bounds)
        self.jobs: dict[str, RunTool] = {}
        self.begun: list[str] = []
        self.calls: list[str] = []
        self.responses: list[Response] = []
        self.log: list[str] = []

    def take(self, outputs: list[ToolOutput]) -> list[str]:
        """Note what is to be done, each as a word or two."""
        told = [self._note(output) for output in outputs]
        self.log += told
        return told

    def _note(self, output: ToolOutput) -> str:
        match output:
            case RunTool(call=call):
                assert call.id not in self.begun, "a tool is run once"
                self.jobs[call.id] = output
                self.begun.append(call.id)
                return f"run {call.id}"
            case Cancel(job=RunTool(call=call)):
                del self.jobs[call.id]
                return f"cancel {call.id}"
            case Enter(part=Part(body=Call(id=id))):
                assert id not in self.calls, "an id is used once"
                self.calls.append(id)
                return f"call {id}"
            case Enter(part=Part(body=Response() as response)):
                self.responses.append(response)
                return f"error {response.id}" if response.error else f"result {response.id}"
            case GoOn(turn=turn):
                return f"go on {turn}"
            case Ask(interrupt=interrupt):
                return "interrupt" if interrupt else "ask"
            case _:
                raise AssertionError(output)

    def call(
        self, name: str, id: str, now: float = 0.0, *, turn: int = 1, **args: Any
    ) -> list[str]:
        return self.take(self.machine.call(Part.call(name, args, id=id, turn=turn), now))

    def done(self, id: str, now: float = 1.0, result: object = "ok") -> list[str]:
        return self.take(self.machine.feed(JobDone(self.jobs.pop(id), result), now))

    def fail(self, id: str, error: Exception, now: float = 1.0) -> list[str]:
        return self.take(self.machine.feed(JobFailed(self.jobs.pop(id), error), now))

    def answered(self, id: str, now: float = 1.0) -> list[str]:
        return self.take(self.machine.answered(Part.response("lamp", "on", id=id), now))

    def asking(self, turn: int) -> list[str]:
        told = self.take(self.machine.asking(turn))
        return told + self.floor("agent")

    def floor(self, who: Who, now: float = 0.0) -> list[str]:
        return self.take(self.machine.floor(who, now))

    def step_over(self, turn: int = 1, now: float = 0.0) -> list[str]:
        return self.take(self.machine.step_over(turn, now))

    def interrupted(self, turn: int = 1, now: float = 0.0) -> list[str]:
        return self.take(self.machine.interrupted(turn, now))


def asked(rules: Mapping[str, ToolRules | None] = RULES, **bounds: int) -> Bench:
    """A bench on which reply 1 is under way."""
    bench = Bench(rules, **bounds)
    bench.asking(1)
    return bench


# -- blocking ------------------------------------------------------------------------------------


def test_a_blocking_result_goes_on_with_the_reply() -> None:
    """The call runs at once; when the model has stopped and the result is there, it goes on."""
    bench = asked()
    assert bench.call("look", "a") == ["call a", "run a"]
    assert bench.machine.goes_on(1)
    assert not bench.machine.waits()
    assert bench.step_over() == []
    assert bench.machine.waits()
    assert bench.done("a") == ["result a", "go on 1"]
    assert not bench.machine.waits()
    assert not bench.machine.goes_on(1)
    assert bench.step_over() == []
    assert bench.machine.done()


def test_a_result_waits_for_the_model_to_stop() -> None:
    """The reply goes on after the model has said all it had to say, not before."""
    bench = asked()
    bench.call("look", "a")
    assert bench.done("a") == ["result a"]
    assert bench.step_over() == ["go on 1"]


def test_two_calls_of_one_step_are_waited_for_together() -> None:
    """The reply goes on once, with both results, in whichever order they came."""
    bench = asked()
    bench.call("look", "a")
    bench.call("look", "b")
    bench.step_over()
    assert bench.done("b") == ["result b"]
    assert bench.done("a") == ["result a", "go on 1"]


def test_results_of_other_tools_enter_when_the_reply_goes_on() -> None:
    """What waits for silence is there already when the model is asked again."""
    bench = asked()
    bench.call("look", "a")
    bench.call("order", "b")
    bench.step_over()
    assert bench.done("b") == []
    assert bench.done("a") == ["result a", "result b", "go on 1"]


def test_a_reply_without_blocking_calls_is_over() -> None:
    """It does not wait for what comes when it may."""
    bench = asked()
    bench.call("order", "a")
    assert not bench.machine.goes_on(1)
    assert bench.step_over() == []


def test_the_step_of_an_older_reply_says_nothing() -> None:
    """Only the reply under way goes on."""
    bench = asked()
    bench.asking(2)
    bench.call("look", "a", turn=2)
    assert bench.step_over(1) == []
    assert bench.done("a") == ["result a"]
    assert not bench.machine.goes_on(1)


def test_a_reply_does_not_call_for_ever() -> None:
    """After so many rounds calls are refused; the model is told so once, then the reply is over."""
    bench = asked(max_rounds=2)
    for id in ("a", "b"):
        bench.call("look", id)
        bench.step_over()
        assert bench.done(id)[-1] == "go on 1"
    assert bench.call("look", "c") == ["call c", "error c"]
    assert bench.step_over() == ["go on 1"]
    assert bench.call("look", "d") == ["call d", "error d"]
    assert not bench.machine.goes_on(1)
    assert bench.step_over() == []
    bench.asking(2)
    assert bench.call("look", "e", turn=2) == ["call e", "run e"]


def test_results_do_not_ask_for_ever() -> None:
    """A model that calls because of each result is refused at last, and nobody asks again."""
    bench = asked(max_rounds=2)
    for turn in (1, 2):
        bench.call("order", f"{turn}", turn=turn)
        bench.floor("idle")
        assert bench.done(f"{turn}")[-1] == "ask"
        bench.asking(turn + 1)
    assert bench.call("order", "3", turn=3) == ["call 3", "error 3"]
    assert bench.floor("idle") == []
    bench.asking(4)
    assert bench.call("order", "4", turn=4) == ["call 4", "run 4"]


# -- the others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["agent", "user"])
def test_when_idle_waits_until_nobody_speaks(who: Who) -> None:
    """The result enters when the floor is free, and the model is asked about it."""
    bench = asked()
    bench.call("order", "a")
    bench.floor(who)
    assert bench.done("a") == []
    assert not bench.machine.done()
    assert bench.floor("idle") == ["result a", "ask"]
    assert bench.floor("idle") == []


def test_when_idle_asks_at_once_if_nobody_speaks() -> None:
    """There is nothing to wait for."""
    bench = asked()
    bench.call("order", "a")
    bench.floor("idle")
    assert bench.done("a") == ["result a", "ask"]


def test_a_result_that_waits_enters_with_the_next_question() -> None:
    """The user asks first: the model knows the result, and nobody asks once more."""
    bench = asked()
    bench.call("order", "a")
    bench.floor("user")
    bench.done("a")
    assert bench.asking(2) == ["result a"]
    assert bench.floor("idle") == []


def test_a_silent_result_enters_and_nobody_asks() -> None:
    """It is there when the model is asked next."""
    bench = asked()
    bench.call("note", "a")
    assert bench.done("a") == ["result a"]
    assert bench.floor("idle") == []


@pytest.mark.parametrize(
    ("scheduling", "told"), [(SILENT, []), (INTERRUPT, ["interrupt"]), (WHEN_IDLE, None)]
)
def test_a_result_says_itself_when_it_enters(
    scheduling: Scheduling, told: list[str] | None
) -> None:
    """At once, silently or not, where it would else have waited until nobody speaks."""
    bench = asked()
    bench.call("order", "a")
    out = bench.done("a", result=Timed("ok", scheduling))
    assert out == ([] if told is None else ["result a", *told])
    if told is None:
        assert bench.floor("idle") == ["result a", "ask"]
    assert bench.responses[0].result == "ok"


def test_a_result_that_is_waited_for_enters_when_all_do() -> None:
    """The reply goes on with it, whatever it says itself."""
    bench = asked()
    bench.call("look", "a")
    bench.step_over()
    assert bench.done("a", result=Timed("ok", SILENT)) == ["result a", "go on 1"]


def test_an_interrupting_result_breaks_in() -> None:
    """While the agent speaks it takes the place of the reply."""
    bench = asked()
    bench.call("alarm", "a")
    assert bench.done("a") == ["result a", "interrupt"]


def test_an_interrupting_result_does_not_interrupt_the_user() -> None:
    """It waits while the user speaks, and then breaks into what the agent says."""
    bench = asked()
    bench.call("alarm", "a")
    bench.call("order", "b")
    bench.floor("user")
    assert bench.done("a") == []
    assert bench.done("b") == []
    assert bench.floor("agent") == ["result a", "result b", "interrupt"]


# -- failures ------------------------------------------------------------------------------------


def test_a_tool_that_raises_answers_with_its_error() -> None:
    """The text of the error, or its kind where it has none."""
    bench = asked()
    bench.call("look", "a")
    bench.call("look", "b")
    bench.fail("a", ValueError("no such town"))
    bench.fail("b", ValueError())
    assert [response.error for response in bench.responses] == ["no such town", "ValueError"]
    assert bench.step_over() == ["go on 1"]


def test_a_tool_that_takes_too_long_has_failed() -> None:
    """It is stopped at its limit, and what it brings after that is ignored."""
    bench = asked()
    bench.call("look", "a", 2.0)
    bench.step_over()
    job = bench.jobs["a"]
    assert job.label == "tool look"
    assert bench.machine.deadline() == 7.0
    assert bench.take(bench.machine.tick(6.9)) == []
    assert bench.take(bench.machine.tick(7.0)) == ["cancel a", "error a", "go on 1"]
    assert bench.responses[0].error == "no result within 5 s"
    assert bench.machine.deadline() is None
    assert bench.take(bench.machine.feed(JobDone(job, "late"), 8.0)) == []
    assert bench.take(bench.machine.feed("something else", 8.0)) == []


def test_an_unknown_tool_is_an_error_for_the_model() -> None:
    """It is told which there are, in the same reply."""
    bench = asked()
    assert bench.call("fly", "a") == ["call a", "error a"]
    assert bench.responses[0].error.startswith("there is no tool named 'fly'; there are: look, ")
    assert bench.step_over() == ["go on 1"]


@pytest.mark.parametrize("rules", [{}, RULES])
def test_what_a_reply_runs_itself_is_not_run_here(rules: Mapping[str, ToolRules | None]) -> None:
    """Nor refused as unknown: the call enters, and somebody else answers it."""
    machine = ToolCalls(rules, own={"inside"})
    assert not machine.runs("inside")
    [entered] = machine.call(Part(Call("a", "inside"), turn=1), 0.0)
    assert isinstance(entered, Enter)
    assert entered.part.function_call == Call("a", "inside")
    assert machine.done()
    assert machine.deadline() is None


def test_a_limit_of_no_time_is_refused() -> None:
    """A tool needs time."""
    with pytest.raises(StageError, match="timeout_s=0"):
        ToolRules(timeout_s=0)


# -- ids -----------------------------------------------------------------------------------------


def test_an_empty_id_gets_one() -> None:
    """And what the model gave is told beside it."""
    bench = asked()
    assert bench.call("look", "") == ["call call-1", "run call-1"]
    assert bench.call("look", "") == ["call call-2", "run call-2"]
    outputs = bench.machine.feed(JobDone(bench.jobs["call-1"], 1), 1.0)
    assert outputs == [Enter(Part.response("look", 1, id="call-1"), "", BLOCKING)]


def test_the_same_call_twice_is_one() -> None:
    """A server that repeats itself orders one pizza; another call with that id is another call."""
    bench = asked()
    bench.call("look", "a", town="Ulm")
    assert bench.call("look", "a", town="Ulm") == []
    assert bench.call("look", "a", town="Bonn") == ["call a-1", "run a-1"]
    bench.done("a")
    assert bench.call("look", "a", town="Ulm") == []


def test_an_id_may_come_again_in_the_next_step() -> None:
    """Servers that count from 0 in each reply mean another call."""
    bench = asked()
    bench.call("look", "a")
    bench.step_over()
    bench.done("a")
    assert bench.call("look", "a") == ["call a-1", "run a-1"]
    assert bench.machine.ours("a") == "a-1"
    assert bench.machine.ours("b") == "b"
    outputs = bench.machine.feed(JobDone(bench.jobs["a-1"], 1), 1.0)
    assert outputs[0] == Enter(Part.response("look", 1, id="a-1"), "a", BLOCKING)


def test_ids_are_forgotten_after_a_while() -> None:
    """Memory does not grow with the conversation."""
    machine = ToolCalls({"look": ToolRules(SILENT)})
    for turn in range(1, 5001):
        machine.asking(turn)
        outputs = machine.call(Part.call("look", id="", turn=turn), 0.0)
        machine.feed(JobFailed(outputs[1], OSError()), 0.0)  # type: ignore[arg-type]
    assert list(machine._ids)[::4095] == ["call-905", "call-5000"]


# -- bounds --------------------------------------------------------------------------------------


def test_calls_beyond_the_bound_wait() -> None:
    """So many run at once; the next begins, and its time runs, when one has ended."""
    bench = asked(max_running=1)
    bench.call("look", "a", 0.0)
    assert bench.call("look", "b", 0.0) == ["call b"]
    assert bench.done("a", 3.0) == ["result a", "run b"]
    assert bench.machine.deadline() == 8.0


def test_more_calls_than_may_be_out_fail() -> None:
    """The model is told to wait; results that wait count."""
    bench = asked(max_out=2)
    bench.call("order", "a")
    bench.call("order", "b")
    bench.done("a")
    assert bench.call("look", "c") == ["call c", "error c"]
    assert bench.responses[0].error == "2 calls are out already; wait for their results"
    assert bench.call("look", "c") == ["call c-1", "error c-1"]


def test_answers_of_the_program_beyond_the_bound_enter_at_once() -> None:
    """They are never dropped."""
    bench = asked(max_out=2)
    for id in "abc":
        bench.call("lamp", id)
    assert bench.answered("a") == []
    assert bench.answered("b") == []
    assert bench.answered("c") == ["result a", "result b"]


# -- interruptions -------------------------------------------------------------------------------


def test_a_started_call_survives_an_interruption() -> None:
    """It runs on, its reply does not wait for it, and its result comes when nobody speaks."""
    bench = asked()
    bench.call("look", "a")
    bench.step_over()
    assert bench.interrupted() == []
    assert not bench.machine.goes_on(1)
    bench.asking(2)
    assert bench.done("a") == []
    assert bench.floor("idle") == ["result a", "ask"]


def test_a_cancellable_call_is_stopped_by_an_interruption() -> None:
    """It still answers, with its error, and nobody is told."""
    bench = asked()
    bench.call("search", "a")
    assert bench.interrupted() == ["cancel a", "error a"]
    assert bench.responses[0].error == "it was cancelled, since the reply was interrupted"
    assert bench.floor("idle") == []
    assert bench.machine.done()


def test_what_was_not_begun_is_not_done_after_an_interruption() -> None:
    """It answers so, and the call that ran ends."""
    bench = asked(max_running=1)
    bench.call("order", "a")
    bench.call("order", "b")
    assert bench.interrupted() == ["error b"]
    assert "not done" in bench.responses[0].error
    assert bench.begun == ["a"]


def test_a_call_of_a_void_reply_is_not_done() -> None:
    """It came too late; it answers so, at once and silently."""
    bench = asked()
    bench.interrupted()
    assert bench.call("order", "a") == ["call a", "error a"]
    assert bench.floor("idle") == []


def test_a_later_reply_is_left_alone() -> None:
    """An interruption counts up to its turn."""
    bench = asked()
    bench.asking(2)
    bench.call("search", "a", turn=2)
    assert bench.interrupted(1) == []
    assert bench.jobs.keys() == {"a"}


def test_a_reply_that_failed_does_not_go_on() -> None:
    """Its calls do, and their results come when nobody speaks."""
    bench = asked()
    bench.call("search", "a")
    bench.machine.over(1)
    assert bench.step_over() == []
    assert bench.done("a") == []
    assert bench.floor("idle") == ["result a", "ask"]


def test_calls_are_cancelled_by_the_ids_that_were_given() -> None:
    """The cancellable one is stopped and answers; the other has begun, and goes on."""
    bench = asked()
    bench.call("search", "a")
    bench.call("look", "b")
    bench.call("search", "c")
    assert bench.take(bench.machine.cancel(["a", "b", "x"], 1.0)) == ["cancel a", "error a"]
    assert bench.jobs.keys() == {"b", "c"}


def test_after_a_reset_nobody_is_told() -> None:
    """Results that wait enter, calls run on, what they bring enters silently."""
    bench = asked()
    bench.call("order", "a")
    bench.call("look", "b")
    bench.call("search", "c")
    bench.step_over()
    bench.done("a")
    assert bench.take(bench.machine.reset(1.0)) == ["result a", "cancel c", "error c"]
    bench.floor("idle")
    assert bench.done("b") == ["result b"]
    assert bench.machine.done()


# -- calls that the program answers --------------------------------------------------------------


@pytest.mark.parametrize("rules", [RULES, {}])
def test_the_program_answers_its_calls(rules: Mapping[str, ToolRules | None]) -> None:
    """Nothing is run for them, nobody waits; the answer enters once, when nobody speaks."""
    bench = asked(rules)
    assert bench.call("lamp", "a") == ["call a"]
    assert not bench.machine.goes_on(1)
    assert bench.machine.done()
    assert bench.answered("a") == []
    assert bench.answered("a") == []
    assert bench.floor("idle") == ["result a", "ask"]


def test_the_program_cannot_answer_for_a_tool() -> None:
    """A call that is run has the answer of its tool; what nobody called may be answered."""
    bench = asked()
    bench.call("look", "a")
    bench.floor("idle")
    assert bench.answered("a") == []
    assert bench.answered("seen before") == ["result seen before", "ask"]
    assert bench.answered("seen before") == []
    assert bench.answered("") == ["result call-1", "ask"]
    assert bench.answered("") == ["result call-2", "ask"]


# -- all sequences -------------------------------------------------------------------------------

NAMES = [*RULES, "fly"]
STEPS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(NAMES), st.sampled_from(["", "a", "b"])),
    st.tuples(st.just("done"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("fail"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("late"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("answered"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 11.0]), st.just(0)),
    st.tuples(st.just("floor"), st.sampled_from(["idle", "agent", "user"]), st.just(0)),
    st.tuples(
        st.sampled_from(["ask", "step", "interrupt", "over", "reset"]), st.just(0), st.just(0)
    ),
    st.tuples(st.just("cancel"), st.sampled_from(["a", "b"]), st.just(0)),
)


class Walk:
    """Any sequence of what may happen."""

    def __init__(self) -> None:
        self.bench = Bench(max_running=2, max_out=4, max_rounds=2)
        self.turn, self.now = 1, 0.0
        self.made = 0
        self.old: list[RunTool] = []
        self.bench.asking(1)

    def step(self, kind: str, what: Any, more: Any) -> None:
        bench, machine = self.bench, self.bench.machine
        ids = sorted(bench.jobs)
        match kind:
            case "call":
                self.made += bool(bench.call(what, more, self.now, turn=self.turn))
            case "done" | "fail" if ids:
                id = ids[what % len(ids)]
                self.old.append(bench.jobs[id])
                if kind == "done":
                    bench.done(id, self.now)
                else:
                    bench.fail(id, OSError("gone"), self.now)
            case "late" if self.old:
                bench.take(machine.feed(JobDone(self.old[what % len(self.old)], "late"), self.now))
            case "answered":
                bench.answered(f"{'ab'[what % 2]}" if what < 4 else f"call-{what}", self.now)
            case "wait":
                self.wait(what)
            case "floor":
                bench.floor(what, self.now)
            case "ask":
                self.turn += 1
                bench.asking(self.turn)
            case "step":
                bench.step_over(self.turn, self.now)
            case "interrupt":
                bench.interrupted(self.turn, self.now)
            case "over":
                machine.over(self.turn)
            case "reset":
                bench.take(machine.reset(self.now))
            case "cancel":
                bench.take(machine.cancel([what], self.now))
        assert len(bench.jobs) <= 2

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.bench.machine.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.bench.take(self.bench.machine.tick(self.now))
        self.now = until


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=40))
def test_each_call_has_one_response_whatever_happens(steps: list[tuple[str, Any, Any]]) -> None:
    """And it follows its call; in the end nothing is out, and nothing waits."""
    walk = Walk()
    for kind, what, more in steps:
        walk.step(kind, what, more)
    walk.wait(math.inf if not walk.bench.jobs else 1000.0)
    walk.bench.floor("idle", walk.now)
    bench = walk.bench
    assert bench.machine.done()
    assert not bench.jobs
    assert len(bench.calls) == walk.made
    counted = Counter(response.id for response in bench.responses)
    external = bench.machine._external.keys()
    for id in bench.calls:
        assert counted[id] == (0 if id in external else 1)
        if id not in external:
            place = bench.log.index(f"call {id}")
            assert {f"result {id}", f"error {id}"} & set(bench.log[place:])


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=40))
def test_results_enter_while_it_is_their_time(steps: list[tuple[str, Any, Any]]) -> None:
    """Nobody asks while the user speaks; a reply goes on only while it is the one under way."""
    walk = Walk()
    for kind, what, more in steps:
        before = len(walk.bench.log)
        walk.step(kind, what, more)
        for told in walk.bench.log[before:]:
            if told in ("ask", "interrupt"):
                assert walk.bench.machine._who != "user"
            if told.startswith("go on"):
                assert told == f"go on {walk.turn}"
                assert walk.turn > walk.bench.machine._void
