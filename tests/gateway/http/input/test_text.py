"""Text that people type, as it is stored."""

import pytest

from gateway.http.input.text import one_line


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Ana \u202egnizzad\u202c Ruiz", "Ana gnizzad Ruiz"),
        ("\u202a+1 555 010-0142\u202c", "+1 555 010-0142"),
        ("Ana\u2066 R\u2069", "Ana R"),
        ("Ana\r\nRuiz\u2028Vega", "Ana Ruiz Vega"),
        ("An\x00a\x1b[31m\x9b", "Ana[31m"),
        ("\u05d0\u05d1\u200f (2)", "\u05d0\u05d1\u200f (2)"),
        ("\U0001f468\u200d\U0001f527 Zoë", "\U0001f468\u200d\U0001f527 Zoë"),
    ],
)
def test_a_line_keeps_only_what_is_seen(typed: str, kept: str) -> None:
    """Overrides of direction and control characters go; marks that a script needs stay."""
    assert one_line(typed) == kept


def test_other_types_pass() -> None:
    """A number is the model's to refuse."""
    assert one_line(7) == 7
