"""A person by an identity provider's word."""

from dataclasses import dataclass


class ProviderRefused(Exception):
    """The provider refused, or its answer does not hold; the message is for the person."""


@dataclass(frozen=True)
class Identity:
    """`issuer` and `subject` name the person for ever; `email` is there only when the provider vouches for it."""

    issuer: str
    subject: str
    email: str | None
    name: str
