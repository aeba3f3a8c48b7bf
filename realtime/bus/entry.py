"""An entry of the bus, and how a gap between two of them shows. Pure: values in, values out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


class UnknownEntry(ValueError):
    """An entry that no bus leader of ours has written."""


@dataclass(frozen=True, slots=True)
class EntryId:
    """Which entry of which leader's term this is; a term has a name of its own, and its numbers begin with 1."""

    term: str
    number: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Notifications of events and of the control channel, each of one line. An entry with neither is a heartbeat."""

    id: EntryId
    messages: Sequence[str] = ()
    control: Sequence[str] = ()
    farewell: bool = False


def pack(entry: Entry) -> dict[str, str | int]:
    """Write an entry's fields."""
    fields: dict[str, str | int] = {"term": entry.id.term, "number": entry.id.number}
    if entry.messages:
        fields["messages"] = "\n".join(entry.messages)
    if entry.control:
        fields["control"] = "\n".join(entry.control)
    if entry.farewell:
        fields["farewell"] = 1
    return fields


def unpack(fields: Mapping[bytes, bytes]) -> Entry:
    """Read an entry's fields. Raises `Foreign`."""
    try:
        entry_id = EntryId(fields[b"term"].decode(), int(fields[b"number"]))
        messages, control = (
            fields[name].decode().split("\n") if name in fields else () for name in (b"messages", b"control")
        )
    except (KeyError, ValueError) as error:
        raise UnknownEntry(str(error)) from error
    return Entry(entry_id, messages, control, b"farewell" in fields)


def batches(messages: Sequence[str], most: int) -> Iterator[list[str]]:
    """Divide messages into entries of at most so many characters, but for a single message that is longer."""
    batch: list[str] = []
    size = 0
    for message in messages:
        if batch and size + len(message) > most:
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message)
    if batch:
        yield batch


class SequenceChecker:
    """Whether an entry is the very next one.

    Any loss of entries - a trim that overtook the reader, a flush, a failover, a crash, a write whose answer
    never came - breaks the sequence, and so does a new leader.
    """

    def __init__(self) -> None:
        self._last: EntryId | None = None

    def follows(self, entry_id: EntryId) -> bool:
        """Take an entry's mark; false when something may lie between it and the one before."""
        last, self._last = self._last, entry_id
        return last is not None and entry_id == EntryId(last.term, last.number + 1)

    def reset(self) -> None:
        """Trust nothing of before: the next entry is the first."""
        self._last = None
