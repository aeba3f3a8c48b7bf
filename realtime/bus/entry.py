"""What stands in an entry of the bus, and how a gap between two of them shows. Pure: values in, values out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


class Foreign(ValueError):
    """An entry that no carrier of ours has written."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which entry of which carrier's term this is; a term has a name of its own, and its numbers begin with 1."""

    term: str
    number: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Words of events and of the control channel, each of one line. Neither is a mere sign of life."""

    mark: Mark
    words: Sequence[str] = ()
    control: Sequence[str] = ()
    farewell: bool = False


def pack(entry: Entry) -> dict[str, str | int]:
    """Write an entry's fields."""
    fields: dict[str, str | int] = {"term": entry.mark.term, "number": entry.mark.number}
    if entry.words:
        fields["words"] = "\n".join(entry.words)
    if entry.control:
        fields["control"] = "\n".join(entry.control)
    if entry.farewell:
        fields["farewell"] = 1
    return fields


def unpack(fields: Mapping[bytes, bytes]) -> Entry:
    """Read an entry's fields. Raises `Foreign`."""
    try:
        mark = Mark(fields[b"term"].decode(), int(fields[b"number"]))
        words, control = (
            fields[name].decode().split("\n") if name in fields else () for name in (b"words", b"control")
        )
    except (KeyError, ValueError) as error:
        raise Foreign(str(error)) from error
    return Entry(mark, words, control, b"farewell" in fields)


def batches(words: Sequence[str], most: int) -> Iterator[list[str]]:
    """Divide words into entries of at most so many characters, but for a single word that is longer."""
    batch: list[str] = []
    size = 0
    for word in words:
        if batch and size + len(word) > most:
            yield batch
            batch, size = [], 0
        batch.append(word)
        size += len(word)
    if batch:
        yield batch


class Chain:
    """Whether an entry is the very next one.

    Whatever takes entries away - a trim that overtook the reader, a flush, a failover, a crash, a write whose answer
    never came - breaks the chain, and so does a new carrier.
    """

    def __init__(self) -> None:
        self._last: Mark | None = None

    def follows(self, mark: Mark) -> bool:
        """Take an entry's mark; false when something may lie between it and the one before."""
        last, self._last = self._last, mark
        return last is not None and mark == Mark(last.term, last.number + 1)

    def cut(self) -> None:
        """Trust nothing of before: the next entry is the first."""
        self._last = None
