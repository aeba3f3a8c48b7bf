"""Frames survive any event, by an EventSource parser that knows nothing of us."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime.protocol import wire
from realtime.protocol.events import parse_row
from tests.realtime.client.eventsource import EventStream, Message

VISIT = "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SEQS = st.integers(min_value=1, max_value=2**63 - 1)


def document(seq: int, payload: Any) -> str:
    """Write an event as the database does: on one line."""
    head = f'{{"visit_id":"{VISIT}","seq":{seq},"job_id":null,"type":"step.progress","payload":'
    return head + json.dumps(payload, ensure_ascii=False) + ',"created_at":"2026-01-01T00:00:00.000000Z"}'


def read(stream: bytes, cuts: list[int]) -> EventStream:
    """Feed a stream in pieces cut at these places."""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    reader = EventStream()
    for start, stop in pairwise(places):
        reader.feed(stream[start:stop])
    return reader


@given(st.lists(st.tuples(SEQS, st.dictionaries(st.text(), JSON, max_size=4)), max_size=5), st.lists(st.integers(0)))
def test_every_event_is_one_message(rows: list[tuple[int, Any]], cuts: list[int]) -> None:
    """Whatever the payloads hold and wherever the network cuts, each event arrives whole, once and in order."""
    texts = [document(seq, payload) for seq, payload in rows]
    reader = read(wire.frames(map(parse_row, texts)), cuts)
    assert reader.messages == [Message("message", text, str(seq)) for text, (seq, _) in zip(texts, rows, strict=True)]
    assert [message.json["payload"] for message in reader.messages] == [payload for _, payload in rows]


@given(st.text(), st.lists(st.integers(0)))
def test_a_document_with_line_breaks_does_not_break_the_stream(text: str, cuts: list[int]) -> None:
    """A document that is not on one line still is one message, its line breaks told as the standard can."""
    text = text.encode("utf-8", "replace").decode()
    stream = wire.message(7, text.encode()) + wire.HEARTBEAT.body + wire.message(8, b"{}")
    reader = read(stream, cuts)
    told = text.replace("\r\n", "\n").replace("\r", "\n")
    assert reader.messages == [Message("message", told, "7"), Message("message", "{}", "8")]
    assert reader.comments == ["heartbeat"]


@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 10**6))
def test_a_stream_opens_with_retry_heartbeat_and_its_position(last_seq: int, recovered: bool, retry_ms: int) -> None:
    """The first bytes say when to come back, are a heartbeat, and dispatch `hello` without touching the last id."""
    reader = read(wire.opening(last_seq=last_seq, recovered=recovered, retry_ms=retry_ms), [])
    assert (reader.retries, reader.comments, reader.last_event_id) == ([retry_ms], ["heartbeat"], "")
    assert [(m.event, m.json) for m in reader.messages] == [("hello", {"last_seq": last_seq, "recovered": recovered})]


def test_the_ways_to_end_are_named() -> None:
    """`end`, a refusal and a goodbye are control events, which `onmessage` does not see."""
    reader = read(wire.end("completed") + wire.refusal(retry_ms=5) + wire.drain(retry_ms=6), [])
    assert [(m.event, m.json) for m in reader.messages] == [
        ("end", {"reason": "completed"}),
        ("end", {"reason": "busy"}),
        ("drain", {}),
    ]
    assert reader.retries == [5, 6]


def test_every_block_that_a_parser_dispatches_has_data() -> None:
    """Common parsers hand on whatever a blank line ends: no block is a comment or a `retry` alone."""
    stream = wire.opening(last_seq=1, recovered=False, retry_ms=1) + wire.HEARTBEAT.body + wire.message(1, b"{}")
    stream += wire.HEARTBEAT.body + wire.refusal(retry_ms=5) + wire.drain(retry_ms=6) + wire.replaced(retry_ms=7)
    blocks = stream.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(b"data: " in block for block in blocks)


def test_a_chunk_is_framed_once_for_all() -> None:
    """Those who write to a socket themselves share one HTTP chunk."""
    chunk = wire.Chunk(b"x" * 300)
    assert chunk.framed == b"12c\r\n" + b"x" * 300 + b"\r\n"
    assert chunk.framed is chunk.framed
