"""Addresses in one form: case, look-alikes and what is none."""

import pytest

from store.errors import Unprocessable
from store.people.emails import normal


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Dana@Example.COM ", "dana@example.com"),
        ("dana+bids@example.com", "dana+bids@example.com"),
        ("o'neil@example.co.uk", "o'neil@example.co.uk"),
        ("dana@bücher.example", "dana@xn--bcher-kva.example"),
        ("dana@EXAMPLE。com", "dana@example.com"),  # the full stop of a Japanese keyboard
    ],
)
def test_one_mailbox_has_one_form(typed: str, kept: str) -> None:
    """However it is typed."""
    assert normal(typed) == kept
    assert normal(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        *("", "dana", "@example.com", "dana@", "dana@localhost", "a b@example.com", "dana@example.com\n.evil.example"),
        *("dаna@example.com", "ｄana@example.com", "dana＠example.com", "ſam@example.com"),  # noqa: RUF001
        *("dana@exam ple.com", "dana@-example.com", "dana@[127.0.0.1]", "a..b@example.com", f"{'a' * 65}@example.com"),
        *('"dana"@example.com', "dana@example.com,eve@evil.example", "dana@example.com\x00", "İ@example.com"),
    ],
)
def test_what_is_no_address_of_ours_is_refused(text: str) -> None:
    """Letters that only look like ASCII's among them: a Cyrillic a, full-width forms, a long s."""
    with pytest.raises(Unprocessable):
        normal(text)


def test_a_domain_that_only_looks_alike_is_another() -> None:
    """A Cyrillic e in the domain shows as what it is."""
    assert normal("dana@еxample.com").startswith("dana@xn--")  # noqa: RUF001
    assert normal("dana@еxample.com") != normal("dana@example.com")  # noqa: RUF001
