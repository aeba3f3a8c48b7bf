"""What a client says to PostgreSQL, followed message by message: pure, bytes in and calls out.

Only what asyncpg sends is understood: transactions by simple query, everything else by prepared statements.
"""

import struct
from dataclasses import dataclass, field

ENCRYPTION_REQUESTS = frozenset({80877103, 80877104})  # SSLRequest, GSSENCRequest: another start-up message follows


def asks_for_encryption(startup: bytes) -> bool:
    """Tell whether a start-up message (without its length) only asks whether to encrypt."""
    code: int = struct.unpack_from("!I", startup)[0]
    return code in ENCRYPTION_REQUESTS


@dataclass
class Conversation:
    """One client's side: the statements it prepared, and what its transaction has called so far."""

    calls: list[str] = field(default_factory=list)
    _statements: dict[bytes, str] = field(default_factory=dict)

    def hear(self, kind: bytes, body: bytes) -> str | None:
        """Take the next message; returns the SQL that it starts, None when it starts none."""
        if kind == b"P":
            name, statement, _ = body.split(b"\0", 2)
            self._statements[name] = statement.decode()
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            self.calls.append(self._statements[name])
            return self.calls[-1]
        elif kind == b"Q":
            text = body.rstrip(b"\0").decode()
            if text.startswith("BEGIN"):
                self.calls.clear()
            return text
        return None

    def has_called(self, function: str) -> bool:
        """Tell whether this transaction called a function of that name."""
        return any(f"{function}(" in text for text in self.calls)
