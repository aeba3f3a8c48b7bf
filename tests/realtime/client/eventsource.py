"""A reader of event streams, written from the HTML standard (9.2.5, 9.2.6) and from nothing in the product."""

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Message:
    """What an EventSource dispatches."""

    event: str
    data: str
    id: str

    @property
    def json(self) -> Any:
        """The data as JSON."""
        return json.loads(self.data)  # any whole number, as a browser with BigInt


@dataclass
class EventStream:
    """Fed with bytes as they come; `messages`, `comments` and `retries` grow."""

    messages: list[Message] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    last_event_id: str = ""

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text: list[str] = []
        self._at_start = True
        self._skip_lf = False
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        text = self._decoder.decode(chunk)
        if text and self._at_start:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if text and self._skip_lf:  # the second half of a CRLF
            text = text.removeprefix("\n")
            self._skip_lf = False
        if text:
            self._skip_lf = text.endswith("\r")
            *lines, rest = _LINE_END.split(text)
            for line in lines:
                self._line("".join((*self._text, line)))
                self._text.clear()
            self._text.append(rest)

    def _line(self, line: str) -> None:
        if not line:
            self._dispatch()
        elif line.startswith(":"):
            self.comments.append(line[1:].removeprefix(" "))
        else:
            name, colon, value = line.partition(":")
            self._field(name, value.removeprefix(" ") if colon else "")

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retries.append(int(value))

    def _dispatch(self) -> None:
        self.last_event_id = self._id
        data, event = self._data, self._event
        self._data, self._event = [], ""
        if data:
            self.messages.append(Message(event or "message", "\n".join(data), self._id))
