"""The ledger: what was heard of each reply, and nothing else."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivace.audio import AudioFormat
from vivace.machines.pacing import Pacer
from vivace.machines.pacing_rules import PacingRules
from vivace.machines.playhead import Playhead
from vivace.machines.playout import Ledger, Reply
from vivace.part import (
    Audio,
    Call,
    Data,
    Held,
    Image,
    Interrupted,
    Part,
    Resumed,
    TurnComplete,
)
from vivace.testing.speaker import JitterBuffer


def audio(words: str, turn: int = 1, seconds: float = 0.5, role: str = "model") -> Part:
    return Part.audio(bytes(round(seconds * 32_000)), words=words, role=role, turn=turn)


def test_words_and_seconds_add_up() -> None:
    """The words of the chunks make the text; their seconds add up."""
    ledger = Ledger()
    for part in (audio("Hello"), audio(" there,", seconds=0.25), audio(""), audio(" you. ")):
        ledger.book(part)
    assert ledger.heard(1) == Reply(1, "Hello there, you.", 1.75, 1.75, 1.75)


def test_text_counts_as_heard() -> None:
    """The text of a reply without a voice is what was read of it."""
    ledger = Ledger()
    ledger.book(Part("Hel", role="model", turn=2))
    ledger.book(Part("lo", role="model", turn=2))
    assert ledger.heard(2) == Reply(2, "Hello", 0.0)


def test_the_first_is_told() -> None:
    """True for the first sound or text of each reply, False for all that follow."""
    ledger = Ledger()
    booked = [ledger.book(audio("a", turn)) for turn in (1, 1, 2, 1, 2, 3)]
    assert booked == [True, False, True, False, False, True]


@pytest.mark.parametrize(
    "part",
    [
        audio("no turn", turn=0),
        audio("the user's", role="user"),
        Part("the system's", role="system", turn=1),
        Part(Image(b"x"), role="model", turn=1),
        Part(Data({"a": 1}), role="model", turn=1),
        Part(Call("1", "f"), role="model", turn=1),
        Part(TurnComplete(1), role="model", turn=1),
    ],
)
def test_all_else_is_not_heard(part: Part) -> None:
    """Only the model's audio and text of a reply are booked."""
    ledger = Ledger()
    assert ledger.book(part) is False
    assert ledger.heard(part.turn) == Reply(part.turn)
    assert ledger.book(audio("a")) is True


def test_nothing_is_neither_sound_nor_text() -> None:
    """An empty text is not the first of a reply that is heard."""
    ledger = Ledger()
    assert ledger.book(Part("", role="model", turn=1)) is False
    assert ledger.book(Part.audio(b"", role="model", turn=1)) is False
    assert ledger.book(audio("a")) is True


def test_an_unknown_reply_is_unheard() -> None:
    """Asking for a reply that never came gives an empty record and books nothing."""
    ledger = Ledger()
    assert ledger.heard(9) == Reply(9, "", 0.0)
    assert ledger.book(audio("a", turn=9)) is True


def test_old_replies_are_forgotten() -> None:
    """Only the newest `keep` are remembered; older ones read as unheard."""
    ledger = Ledger(keep=2)
    for turn in (1, 2, 3):
        ledger.book(audio(f"reply {turn}", turn))
    assert [ledger.heard(turn).text for turn in (1, 2, 3)] == ["", "reply 2", "reply 3"]


# -- what has left and is still ahead of the listener ------------------------------------------


def paced(words: str = "", turn: int = 1, ms: int = 100) -> Part:
    """A chunk; the test says when it is played."""
    return Part.audio(bytes(ms * 32), words=words, role="model", turn=turn)


def speaking(*words: str, start: float = 0.0, lead_s: float = 0.05) -> Ledger:
    """Words of 0.1 s each, handed out `lead_s` early, from `start` on."""
    ledger = Ledger()
    for index, word in enumerate(words):
        plays_at = start + index / 10
        ledger.book(paced(word + " "), max(start, plays_at - lead_s), plays_at)
    return ledger


def test_what_is_ahead_of_the_listener_is_not_heard() -> None:
    """Of two seconds that have left, what is played by then counts: a word from its middle on."""
    ledger = speaking("one", "two", "three")
    for now, text, seconds in (
        (0.0, "", 0.0),
        (0.04, "", 0.04),
        (0.06, "one", 0.06),
        (0.21, "one two", 0.21),
        (9.0, "one two three", 0.3),
    ):
        heard = ledger.heard(1, now)
        assert (heard.text, round(heard.seconds, 6)) == (text, seconds)
        assert heard.released_s == pytest.approx(0.3)


def test_the_newest_moment_is_now_unless_told() -> None:
    """Who does not say when asks as of what the ledger was told last."""
    ledger = speaking("one", "two")
    assert ledger.heard(1).seconds == pytest.approx(0.05)
    ledger.confirm(1, 0.08, 0.09)
    assert ledger.heard(1).seconds == pytest.approx(0.08)


def test_a_hold_is_a_gap() -> None:
    """While it is held nothing more is heard than had left; then it goes on."""
    ledger = Ledger()
    ledger.book(paced("one "), 0.0, 0.0)
    ledger.book(paced("two "), 5.0, 5.0)
    assert ledger.heard(1, 4.9).seconds == pytest.approx(0.1)
    assert ledger.heard(1, 5.0).seconds == pytest.approx(0.1)
    assert ledger.heard(1, 5.04).seconds == pytest.approx(0.14)


def test_a_consumer_that_takes_late_hears_late() -> None:
    """What was handed out after it was to be played is played from then on."""
    ledger = Ledger()
    ledger.book(paced(), 0.0, 0.0)
    ledger.book(paced(), 0.5, 0.1)
    ledger.book(paced(), 0.5, 0.2)
    assert ledger.heard(1, 0.4).seconds == pytest.approx(0.1)
    assert ledger.heard(1, 0.65).seconds == pytest.approx(0.25)


def test_cut_is_the_end_of_hearing() -> None:
    """What was ahead of the listener is thrown away there: it is never heard."""
    ledger = speaking("one", "two", "three")
    ledger.cut(1, 0.12)
    assert ledger.heard(1, 9.0).text == "one"
    ledger.complete(1)
    ledger.cut(3, 5.0)
    assert ledger.heard(1, 9.0).seconds == pytest.approx(0.12)


def test_cut_at_zero_hears_nothing() -> None:
    """Before the first sample was played there is no text."""
    ledger = speaking("one", start=1.0)
    ledger.cut(1, 1.0)
    assert ledger.heard(1, 9.0) == Reply(1, "", 0.0, 0.1, 0.1)


def test_only_older_replies_are_cut() -> None:
    """A newer one plays on; one that was complete before stays whole."""
    ledger = Ledger()
    for turn in (1, 2, 3):
        ledger.book(paced("word", turn), 0.0, 0.0)
    ledger.complete(1)
    ledger.cut(2, 0.0)
    assert [ledger.heard(turn, 9.0).text for turn in (1, 2, 3)] == ["word", "", "word"]


def test_a_complete_reply_is_heard_whole() -> None:
    """Nothing will cut it any more, so it is played to its end."""
    ledger = speaking("one", "two")
    ledger.complete(1)
    assert ledger.heard(1, 0.0).text == "one two"
    ledger.complete(7)  # of which nothing was known: no error


def test_text_beside_a_voice_without_words_is_shared_out() -> None:
    """In proportion to the sound: what was heard of all that came."""
    ledger = Ledger()
    ledger.queue(1, 0.4)
    ledger.made(1)
    assert ledger.book(Part("aa bb cc dd", role="model", turn=1), 0.0) is False
    assert ledger.heard(1, 0.0).text == ""
    for index in range(4):
        assert ledger.book(paced(), index / 10, index / 10) is (index == 0)
    assert [ledger.heard(1, now).text for now in (0.1, 0.2, 0.4)] == ["aa", "aa bb", "aa bb cc dd"]


def test_text_that_is_ahead_of_its_sound() -> None:
    """It is shared out over the sound that is still to be made: at the pace of replies before."""
    ledger = Ledger()
    ten = Part("one two three four five six seven eight nine ten", role="model")
    for turn in (1, 2):
        ledger.queue(turn, 0.75)
        ledger.book(ten.derive(turn=turn), 0.0)
        for index in range(50):
            now = 10.0 * turn + index / 10
            ledger.queue(turn, 0.1 if index > 7 else 0.0)
            ledger.book(paced("", turn), now, now)
            if turn == 2 and index in {9, 19, 29}:
                count = len(ledger.heard(turn, now + 0.1).text.split())
                truth = (index + 1) // 5  # at two words a second
                assert truth <= count <= truth + 1
        ledger.complete(turn)
        assert ledger.heard(turn).text == ten.text


def test_what_was_heard_of_a_reply_that_was_cut_stays() -> None:
    """Its end comes to the pacer when it is void, and says nothing of how much was to come."""
    ledger = Ledger()
    ledger.queue(1, 1.0)
    ledger.book(Part("one two three four five six seven eight nine ten", role="model", turn=1), 0.0)
    for index in range(10):
        ledger.book(paced(""), index / 10, index / 10)
    ledger.cut(1, 0.6)
    heard = ledger.heard(1).text
    ledger.made(1)
    assert ledger.heard(1).text == heard


def test_text_before_any_sound() -> None:
    """Who is to hear the reply has heard nothing of it, but where there is no sound at all."""
    ledger = Ledger()
    ledger.paces = True
    ledger.book(Part("one two", role="model", turn=7), 0.0)
    assert ledger.heard(7, 5.0).text == "one two"  # there is no voice, perhaps
    ledger.queue(8, 1.0)
    for turn in (1, 2):
        ledger.book(Part("one two", role="model", turn=turn), 0.0)
        assert ledger.heard(turn, 5.0).text == ""
    ledger.made(1)
    ledger.cut(2, 6.0)
    ledger.made(0)
    assert [ledger.heard(turn, 9.0).text for turn in (1, 2)] == ["one two", ""]


def test_words_of_the_voice_count_before_its_text() -> None:
    """Where the sound knows its words, the text beside it is not said twice."""
    ledger = speaking("one", "two")
    ledger.book(Part("one two", role="model", turn=1), 0.1)
    assert ledger.heard(1, 9.0).text == "one two"


def test_a_laugh_without_length_is_heard_in_its_place() -> None:
    """Words on no sound at all count once what is before them was heard."""
    ledger = Ledger()
    ledger.book(paced("one "), 0.0, 0.0)
    ledger.book(paced("[laughs] ", ms=0), 0.1, 0.1)
    ledger.book(paced("two "), 0.1, 0.1)
    assert ledger.heard(1, 0.09).text == "one"
    assert ledger.heard(1, 0.1).text == "one [laughs]"


def test_what_was_queued_is_known() -> None:
    """What the model has made, from the first part on; of no reply, nothing."""
    ledger = Ledger()
    ledger.queue(1, 2.0)
    ledger.queue(1, 0.0)
    ledger.queue(0, 2.0)
    assert ledger.heard(1, 0.0) == Reply(1, "", 0.0, 2.0)
    assert ledger.heard(0, 0.0) == Reply(0)


# -- what the listener's side reports ----------------------------------------------------------


def test_a_report_counts_more_than_the_plan() -> None:
    """0.1 s where 0.2 s should have been played: that is heard, and it goes on from there."""
    ledger = speaking(*["word"] * 10)
    ledger.confirm(1, 0.1, 0.2)
    heard = ledger.heard(1, 0.2)
    assert heard.seconds == pytest.approx(0.1)
    assert heard.confirmed_s == 0.1
    assert ledger.heard(1, 0.3).seconds == pytest.approx(0.2)
    ledger.confirm(1, 0.5, 0.31)  # ahead of the plan: it has played what it says
    assert ledger.heard(1, 0.31).seconds == pytest.approx(0.5)


def test_a_report_never_takes_back() -> None:
    """One that was overtaken on its way says nothing new."""
    ledger = speaking(*["word"] * 10)
    ledger.confirm(1, 0.4, 0.5)
    ledger.confirm(1, 0.3, 0.51)
    assert ledger.heard(1, 0.51).confirmed_s == 0.4


def test_a_pause_of_the_listener_is_believed_at_once() -> None:
    """It has stopped for a second, with what it had: what is heard stands still, too."""
    ledger = speaking(*["word"] * 20)
    ledger.confirm(1, 0.5, 0.5)
    for now in (1.0, 1.5):
        ledger.confirm(1, 0.5, now)
        assert ledger.heard(1, now).seconds == pytest.approx(0.5)


def test_a_listener_who_plays_nothing_hears_nothing() -> None:
    """A page whose sound is blocked reports 0: nothing is heard until it begins, nor at a cut."""
    ledger = speaking(*["word"] * 20)
    ledger.confirm(1, 0.0, 0.0)
    for now in (0.5, 1.0):
        ledger.confirm(1, 0.0, now)
        assert ledger.heard(1, now).seconds == pytest.approx(0.0)
    assert ledger.heard(1, 1.1).seconds == pytest.approx(0.1)  # it may have begun since
    ledger.confirm(1, 0.0, 1.2)
    assert ledger.begins_at(1) == pytest.approx(1.2)
    ledger.cut(1, 1.2)
    assert ledger.heard(1, 2.0).text == ""


def test_nothing_yet_says_nothing_of_a_lag_that_is_known() -> None:
    """It is 0.3 s behind: that nothing of the next reply was played after 0.2 s is as expected."""
    ledger = speaking(*["word"] * 10)
    ledger.confirm(1, 0.2, 0.5)
    ledger.book(paced(turn=2), 2.0, 2.0)
    ledger.book(paced(turn=2), 2.1, 2.1)
    ledger.confirm(2, 0.0, 2.2)
    assert ledger.begins_at(2) == pytest.approx(2.3)


def test_a_reply_that_is_over_was_not_heard_by_who_plays_nothing() -> None:
    """A page whose sound is blocked says so again and again; one that plays on hears it all."""
    for reports, heard in (([0.0] * 8, ""), ([0.2] * 8, "word word"), ([0.0], "word " * 10)):
        ledger = speaking(*["word"] * 10)
        for index, seconds in enumerate(reports):
            ledger.confirm(1, seconds, 0.5 * (1 + index))
        ledger.complete(1)
        assert ledger.heard(1, 9.0).text == heard.strip()


@pytest.mark.parametrize("why", ["it goes on", "it was held", "it had no more"])
def test_who_stood_still_for_a_reason_hears_the_rest(why: str) -> None:
    """Its next report may come too late to say so."""
    ledger = speaking(*["word"] * (4 if why == "it had no more" else 10))
    for now in (0.5, 1.5, 2.5):
        ledger.confirm(1, 0.4, now)
    if why == "it goes on":
        ledger.confirm(1, 0.5, 3.0)
    elif why == "it was held":
        ledger.hold(1, 3.0)
        ledger.confirm(1, 0.4, 3.0)
        ledger.resume(1, 3.1)
    else:
        for index in range(6):
            ledger.book(paced("word "), 2.6, 2.6 + index / 10)
    ledger.complete(1)
    assert ledger.heard(1, 9.0).text == " ".join(["word"] * 10)


def test_who_has_played_all_there_is_is_not_behind() -> None:
    """In a gap of the reply and after its end the lag does not grow, though rates are rounded."""
    ledger = speaking("one", "two")
    ledger.confirm(1, 0.1, 0.15)
    for now in (0.5, 1.0):
        ledger.confirm(1, 0.1999, now)
        assert ledger.lag_s == pytest.approx(0.05)
    ledger.book(paced("three "), 2.0, 2.0)
    ledger.complete(1)
    ledger.confirm(1, 0.25, 9.0)
    assert ledger.lag_s == pytest.approx(0.05)


@pytest.mark.parametrize("seconds", [0.195, 0.2])
def test_after_a_gap_a_listener_has_not_begun(seconds: float) -> None:
    """Who is 0.05 s behind has played all before the gap, and that is no lag of two seconds."""
    ledger = speaking("one", "two")
    ledger.confirm(1, 0.1, 0.15)
    for at in (2.0, 2.1, 2.2):
        ledger.book(paced("three "), at, at)
    ledger.confirm(1, seconds, 2.04)
    assert ledger.lag_s == pytest.approx(0.05)
    ledger.confirm(1, seconds, 2.2)  # so it has begun later
    assert ledger.lag_s == pytest.approx(0.2)
    assert ledger.heard(1, 2.2).seconds == pytest.approx(0.2)


def test_who_has_played_all_is_behind_no_more() -> None:
    """It was 0.5 s behind, and has caught up."""
    ledger = speaking("one", "two")
    ledger.confirm(1, 0.1, 0.6)
    assert ledger.lag_s == pytest.approx(0.5)
    ledger.confirm(1, 0.2, 0.3)
    assert ledger.lag_s == pytest.approx(0.1)


def test_after_a_cut_the_report_has_the_last_word() -> None:
    """The listener's side says where it stopped."""
    ledger = speaking("one", "two", "three", "four")
    ledger.cut(1, 0.38)
    assert ledger.heard(1, 1.0).text == "one two three four"
    ledger.confirm(1, 0.24, 0.45)
    assert ledger.heard(1, 1.0).text == "one two"


def test_after_a_cut_a_report_tells_of_the_lag() -> None:
    """Where 0.3 s should have been played then, it was 0.1; later reports tell nothing more."""
    ledger = speaking(*["word"] * 10)
    ledger.cut(1, 0.3)
    ledger.confirm(1, 0.1, 0.35)
    assert ledger.lag_s == pytest.approx(0.2)
    ledger.confirm(1, 0.1, 5.0)
    assert ledger.lag_s == pytest.approx(0.2)


@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_who_plays_on_after_a_cut_is_not_ahead(seconds: float) -> None:
    """What a listener plays who has not heard of it says nothing of the next reply."""
    ledger = speaking(*["word"] * 10)
    ledger.cut(1, 0.3)
    ledger.confirm(1, seconds, 0.9)
    assert ledger.lag_s == 0.0
    assert ledger.heard(1).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_a_report_that_cannot_be_is_ignored(seconds: float) -> None:
    """Below zero, no number, or of a reply that was never heard of."""
    ledger = speaking("one")
    ledger.confirm(1, seconds, 0.05)
    ledger.confirm(5, 1.0, 0.05)
    ledger.queue(6, 1.0)
    ledger.confirm(6, 1.0, 0.05)
    assert ledger.heard(1, 0.05).confirmed_s is None
    assert ledger.heard(5) == Reply(5)
    assert ledger.heard(6).confirmed_s is None


def test_more_than_was_handed_out_cannot_be_played() -> None:
    """Such a report is taken for all of it."""
    ledger = speaking("one")
    ledger.confirm(1, math.inf, 0.02)
    assert ledger.heard(1, 0.02).confirmed_s == pytest.approx(0.1)


def test_a_listener_who_paces_alone_is_followed() -> None:
    """Without a pacer all is handed out at once; once reports come, they say what was heard."""
    ledger = Ledger()
    ledger.book(paced("a b c d e f g h i j", ms=3000), 0.0)
    assert ledger.heard(1, 0.0).seconds == 3.0
    ledger.confirm(1, 1.0, 1.1)
    assert ledger.heard(1, 1.1).seconds == pytest.approx(1.0)
    assert ledger.heard(1, 1.6).seconds == pytest.approx(1.5)


@pytest.mark.parametrize("skew", [-1e-3, 0.0, 1e-3])
def test_skew_of_clocks_is_followed_smoothly(skew: float) -> None:
    """A clock that is a thousandth off, for ten minutes, with reports that jitter by 20 ms: the
    estimate is never off by more than that, and never steps by more either."""
    ledger, luck, last, off = Ledger(), random.Random(7), 0.0, []
    for tenth in range(6000):
        now = tenth / 10
        ledger.book(paced(), now, now + 0.7)
        true_s = max(0.0, now - 0.75) * (1 - skew)
        if tenth % 2 and tenth > 20:
            ledger.confirm(1, true_s - luck.uniform(0.0, 0.02), now)
        seconds = ledger.heard(1, now).seconds
        if tenth > 40:
            off.append(abs(seconds - true_s))
            assert abs(seconds - last - 0.1) < 0.02
        last = seconds
    assert max(off) < 0.02


chunks = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["", " a", "b ", "word", " "]), st.integers(0, 9)),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(chunks)
def test_any_order_of_replies(booked: list[tuple[int, str, int]]) -> None:
    """However replies interleave, each has exactly its own words in order, and its own seconds."""
    ledger = Ledger()
    for turn, words, frames in booked:
        ledger.book(Part.audio(bytes(2 * frames), 1, words=words, role="model", turn=turn))
    for turn in range(1, 5):
        own = [(words, frames) for number, words, frames in booked if number == turn]
        text = "".join(words for words, _ in own).strip()
        seconds = float(sum(frames for _, frames in own))
        assert ledger.heard(turn) == Reply(turn, text, seconds, seconds, seconds)


moves = st.lists(
    st.tuples(st.sampled_from(["book", "wait", "confirm", "cut"]), st.integers(0, 300)), max_size=40
)


@settings(max_examples=100, deadline=None)
@given(moves)
def test_heard_is_between_confirmed_and_released(moves: list[tuple[str, int]]) -> None:
    """Whatever is booked, reported and cut; and its text is a beginning of what was said."""
    ledger, now, plays_at, said = Ledger(), 0.0, 0.0, ""
    cut = False
    for number, (kind, ms) in enumerate(moves):
        if kind == "book" and not cut:
            plays_at = max(plays_at, now)
            ledger.book(paced(f"w{number} ", ms=ms), now, plays_at)
            plays_at += ms / 1000
            said += f"w{number} " if ms else ""
        elif kind == "wait":
            now += ms / 1000
        elif kind == "confirm":
            ledger.confirm(1, ms / 100, now)
        elif kind == "cut":
            cut = True
            ledger.cut(1, now)
        heard = ledger.heard(1, now)
        assert (heard.confirmed_s or 0.0) - 1e-9 <= heard.seconds <= heard.released_s + 1e-9
        words = [word for word in heard.text.split() if word in said.split()]
        assert said.split()[: len(words)] == words


def test_when_a_reply_begins_to_be_heard() -> None:
    """When its first sound is planned, as late as the listener says to be; unknown before that."""
    ledger = Ledger()
    assert ledger.begins_at(1) is None
    ledger.queue(1, 1.0)
    assert ledger.begins_at(1) is None
    ledger.book(paced("one ", ms=1000), 1.0, 1.25)
    assert ledger.begins_at(1) == 1.25
    ledger.confirm(1, 0.5, 2.25)
    assert ledger.begins_at(1) == 1.75


# -- holds -------------------------------------------------------------------------------------


def test_a_held_reply_is_silent_at_once() -> None:
    """Of what was handed out ahead, nothing is heard until it goes on, and then all of it."""
    ledger = Ledger()
    ledger.book(paced("one two three", ms=300), 0.0, 0.05)
    ledger.hold(1, 0.15)
    assert [ledger.heard(1, now).seconds for now in (0.1, 0.15, 2.0)] == pytest.approx(
        [0.05, 0.1, 0.1]
    )
    ledger.resume(1, 2.15)
    assert [ledger.heard(1, now).seconds for now in (2.15, 2.25, 9.0)] == pytest.approx(
        [0.1, 0.2, 0.3]
    )


def test_five_holds_in_a_row() -> None:
    """Each ends before what the listener had is played: it is heard between them, bit by bit."""
    ledger = Ledger()
    ledger.book(paced("one two three", ms=250), 0.0, 0.0)
    for cough in range(5):
        ledger.hold(1, cough + 0.04)
        assert ledger.heard(1, cough + 0.9).seconds == pytest.approx(0.04 * (cough + 1))
        ledger.resume(1, cough + 1.0)
    ledger.hold(1, 5.04)
    ledger.cut(1, 6.0)
    assert ledger.heard(1, 9.0).seconds == pytest.approx(0.24)


def test_what_comes_after_a_hold_is_heard_after_what_was_left() -> None:
    """It is put behind that, though it was to be played sooner."""
    ledger = Ledger()
    ledger.book(paced("one ", ms=200), 0.0, 0.0)
    ledger.hold(1, 0.1)
    ledger.resume(1, 1.1)
    ledger.book(paced("two ", ms=200), 1.1, 1.1)
    assert [ledger.heard(1, now).seconds for now in (1.2, 1.3, 1.4)] == pytest.approx(
        [0.2, 0.3, 0.4]
    )


def test_a_hold_is_of_older_replies() -> None:
    """A newer one plays on; and only a number as high lets them go on."""
    ledger = Ledger()
    ledger.book(paced("old", 1, ms=400), 0.0, 0.0)
    ledger.hold(1, 0.1)
    ledger.book(paced("new", 2, ms=400), 0.2, 0.2)
    ledger.resume(0, 0.3)
    assert ledger.heard(1, 0.4).seconds == pytest.approx(0.1)
    assert ledger.heard(2, 0.4).seconds == pytest.approx(0.2)
    ledger.hold(2, 0.4)  # since then both, and the old one for longer
    ledger.resume(2, 0.5)
    ledger.resume(2, 0.6)
    assert ledger.heard(1, 0.6).seconds == pytest.approx(0.2)
    ledger.hold(1, 0.6)
    ledger.resume(1, 0.65)
    assert ledger.heard(2, 0.65).seconds == pytest.approx(0.35)


def test_a_listener_who_reports_during_a_hold() -> None:
    """One who plays on has heard what it says; one who is late has stopped where it was."""
    deaf, late = speaking(*["word"] * 10), speaking(*["word"] * 10)
    for ledger in (deaf, late):
        ledger.hold(1, 0.5)
    deaf.confirm(1, 0.7, 0.7)
    assert deaf.heard(1, 0.7).seconds == pytest.approx(0.7)
    late.confirm(1, 0.3, 0.7)
    assert late.heard(1, 0.9).seconds == pytest.approx(0.3)
    late.resume(1, 1.0)
    assert late.heard(1, 1.1).seconds == pytest.approx(0.4)


holds = st.lists(st.integers(1, 400), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(holds, st.sampled_from([0.02, 0.2]), st.sampled_from([0.0, 0.05, 0.2]))
def test_who_falls_silent_when_held_has_heard_what_the_ledger_says(
    holds: list[int], chunk_s: float, lead_s: float
) -> None:
    """However holds follow each other, at every moment, to the sample; and nothing is left out."""
    ledger, listener = Ledger(), JitterBuffer(0.0)
    pacer = Pacer(PacingRules(chunk_s, lead_s), ledger=ledger)
    pacer.feed(Part.audio(bytes(32_000 * 30), role="model", turn=1), 0.0)

    def until(end: float) -> None:
        while (due := pacer.deadline()) is not None and due <= end:
            for part in pacer.tick(due):
                if isinstance(part, Part) and isinstance(part.body, Audio):
                    ledger.book(part, due, part.at)
                    listener.push(1, part.seconds, due)

    now = 1.0
    until(now)
    for number, ms in enumerate(holds):
        signal = Resumed(1) if number % 2 else Held(1)
        pacer.feed(signal, now)
        listener.control(signal, now)
        (ledger.resume if number % 2 else ledger.hold)(1, now)
        now += ms / 1000
        until(now)
        listener.advance(now)
        heard = ledger.heard(1, now)
        assert heard.seconds == pytest.approx(listener.played[1], abs=2e-6)
        assert heard.released_s - heard.seconds <= lead_s + chunk_s + 1e-6


@pytest.mark.parametrize("seed", range(40))
def test_a_listener_who_reports_is_known(seed: int) -> None:
    """Through gaps, holds and cuts: to 120 ms once they have reported from the midst of what plays,
    and before that no worse than what may wait in their jitter buffer."""
    luck = random.Random(seed)
    buffer_s, every_s = luck.choice([0.0, 0.06, 0.2, 0.5]), luck.choice([0.05, 0.25, 1.0])
    ledger, listener, head = Ledger(), JitterBuffer(buffer_s), Playhead()
    turn, silent_until, reported_at, known_from_s = 1, 0.0, 0.0, math.inf
    left_s: float | None = None  # what had left and was not played when it was held
    for step in range(2000):
        now = step / 100
        if left_s is None and now >= max(silent_until, head.at - 0.05):
            if head.at < now:  # all has been played, by the plan
                head.restart()
                known_from_s = ledger.heard(turn).released_s
            chunk = paced(turn=turn, ms=luck.choice([20, 100, 200]))
            ledger.book(chunk, now, head.play(chunk.bytes, AudioFormat(), now)[0])
            listener.push(turn, chunk.seconds, now)
        match luck.choices(["", "gap", "hold", "cut"], [980, 12, 4, 4])[0]:
            case "gap":
                silent_until = now + luck.choice([0.1, 1.0, 4.0])
            case "hold" if left_s is None:
                left_s = max(0.0, head.at - now)
                listener.control(Held(turn), now)
                ledger.hold(turn, now)
            case "hold":
                head.restart(now + (left_s or 0.0))
                left_s = None
                listener.control(Resumed(turn), now)
                ledger.resume(turn, now)
            case "cut":
                listener.control(Interrupted(turn), now)
                ledger.cut(turn, now)
                head.restart()
                turn, known_from_s, left_s = turn + 1, math.inf, None
            case _:
                pass
        listener.advance(now)
        played_s, heard = listener.played[turn], ledger.heard(turn, now)
        known = known_from_s + 0.01 < (heard.confirmed_s or 0.0)
        assert abs(heard.seconds - played_s) <= (0.12 if known else buffer_s + 0.05)
        if now >= reported_at + every_s:
            ledger.confirm(turn, played_s, now)
            reported_at = now
