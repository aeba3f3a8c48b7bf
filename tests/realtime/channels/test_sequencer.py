"""The order of a visit's events, whatever live word does."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from realtime.channels.sequencer import HELD, Sequencer
from realtime.protocol.events import Event


def event(seq: int) -> Event:
    """Make the event with this seq."""
    return Event("v", seq, "step.progress", None, b"{}")


def seqs(events: list[Event]) -> list[int]:
    """Return their numbers."""
    return [each.seq for each in events]


def test_word_before_the_start_is_kept_for_it() -> None:
    """What is heard while the table is read follows the position that was read, and the rest is not repeated."""
    order = Sequencer()
    assert [order.receive(event(seq)) for seq in (4, 5, 6)] == [[], [], []]
    assert seqs(order.start(4)) == [5, 6]


def test_a_hole_is_filled_from_the_table() -> None:
    """An event past a hole waits until the rows before it are read."""
    order = Sequencer()
    order.start(1)
    assert (order.receive(event(4)), order.gap) == ([], True)
    assert seqs(order.fill([event(2), event(3)])) == [2, 3, 4]
    assert not order.gap


def test_a_late_notification_releases_what_waits_behind_it() -> None:
    """Two notifications that changed places need no reading of the table."""
    order = Sequencer()
    order.start(1)
    assert order.receive(event(3)) == []
    assert seqs(order.receive(event(2))) == [2, 3]
    assert not order.gap


def test_an_empty_visit_has_no_gap() -> None:
    """Neither at its start, nor when the table has denied its first event."""
    order = Sequencer()
    order.start(0)
    assert not order.gap
    order.expect(1)
    assert (order.fill([]), order.gap) == ([], False)


def test_rows_that_were_passed_on_are_not_repeated() -> None:
    """A page that was read before live word came begins with events that have gone out since."""
    order = Sequencer()
    order.start(1)
    assert seqs(order.receive(event(2))) == [2]
    assert seqs(order.fill([event(1), event(2), event(3)])) == [3]
    assert order.head == 3


def test_what_the_table_denies_does_not_exist() -> None:
    """Word of an event that is not in the table changes nothing for those that are."""
    order = Sequencer()
    order.start(1)
    order.receive(event(900))
    assert (order.fill([]), order.gap, seqs(order.receive(event(2)))) == ([], False, [2])


def test_a_deleted_stretch_is_passed_over() -> None:
    """Rows are right even where numbers are missing between them: those events have been deleted."""
    order = Sequencer()
    order.start(1)
    order.expect(9)
    assert seqs(order.fill([event(5), event(9)])) == [5, 9]
    assert (order.head, order.gap) == (9, False)


def test_what_is_held_is_bounded() -> None:
    """A thousand events past a hole are not kept: they are in the table."""
    order = Sequencer()
    order.start(0)
    for seq in range(2, 1000):
        order.receive(event(seq))
    assert len(order._held) == HELD
    assert order.gap


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_no_loss_no_repeat_no_disorder(seed: int, count: int) -> None:
    """Word that is lost, doubled, late or reordered never shows in what is passed on."""
    random = Random(seed)
    start = random.randrange(count + 1)
    words = [seq for seq in range(1, count + 1) for _ in range(random.randrange(3))]
    for index in range(len(words)):  # a little out of order
        other = max(0, index - random.randrange(4))
        words[index], words[other] = words[other], words[index]
    order, passed = Sequencer(), []
    begin_at = random.randrange(len(words) + 1)
    for index, seq in enumerate([*words, count]):
        if index == begin_at:
            passed += order.start(start)
        order.expect(seq) if random.random() < 0.2 else passed.extend(order.receive(event(seq)))
        if order.gap and random.random() < 0.5:
            passed += order.fill([event(n) for n in range((order.head or 0) + 1, count + 1)][: random.randrange(1, 9)])
    while order.gap:
        passed += order.fill([event(n) for n in range((order.head or 0) + 1, count + 1)][:5])
    assert seqs(passed) == list(range(start + 1, count + 1))
