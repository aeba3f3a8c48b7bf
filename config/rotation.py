"""The secrets that can be exchanged while the product runs, and the effect on their variables. Pure.

Share links and stream tickets have no key: they are random and only their hashes are kept.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

# Runbook: the old key is revoked after 24 h; tokens signed by it have expired and its holders were told by then.
OVERLAP = timedelta(hours=24)
# In one variable, newest first.
SEPARATOR = ","
SHOWN_DIGITS = 12

Variables = Mapping[str, str]


class RotationError(ValueError):
    """The exchange cannot be made like this; the message says how to go on, and never a value."""


@dataclass(frozen=True)
class Secret:
    """A secret by its variables. `previous` holds the old value during the overlap, unless both are in one list."""

    name: str
    variables: tuple[str, ...]
    what: str
    previous: str | None = None
    is_list: bool = False

    @property
    def all_variables(self) -> tuple[str, ...]:
        """Its variables, and the one of its old value."""
        return (*self.variables, *([self.previous] if self.previous else []))

    @property
    def is_made_here(self) -> bool:
        """Whether a new value is ours to make; else its provider issues it, where both work until one is revoked."""
        return self.is_list or self.previous is not None


SECRETS: Mapping[str, Secret] = MappingProxyType(
    {
        secret.name: secret
        for secret in (
            Secret("jwt", ("JWT_SECRETS",), "signs and checks HS256 tokens", is_list=True),
            Secret(
                "internal-queue-key",
                ("INTERNAL_QUEUE_KEY",),
                "opens the queue trigger and /metrics",
                previous="INTERNAL_QUEUE_KEY_PREVIOUS",
            ),
            Secret("s3", ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"), "reads and writes the bucket"),
            Secret("openai", ("OPENAI_API_KEY",), "calls the models"),
        )
    }
)
# What a secrets file may hold.
VARIABLES = frozenset(name for secret in SECRETS.values() for name in secret.all_variables)


def secret_named(name: str) -> Secret:
    """Return the secret of this name. Raises `RotationError`, naming those there are."""
    if name not in SECRETS:
        raise RotationError(f"There is no secret `{name}` to rotate. There are: {', '.join(SECRETS)}.")
    return SECRETS[name]


def new_value() -> str:
    """Make a secret of 384 bits: more than HS256's 256, in characters that no shell and no list minds."""
    return secrets.token_urlsafe(48)


def begun(values: Variables, secret: Secret, new: tuple[str, ...]) -> dict[str, str]:
    """Return the variables with the new value in force and the old one still accepted.

    Raises `RotationError` when the new value is no value, is the old one, or an older one is still accepted.
    """
    if len(new) != len(secret.variables) or not all(_is_fit(part) for part in new):
        raise RotationError(f"Give {' and '.join(secret.variables)}: one line each, without spaces or commas.")
    if new == _current(values, secret):
        raise RotationError("This is the value in force already.")
    if secret.previous and values.get(secret.previous):
        raise RotationError(f"{secret.previous} is still set: finish that rotation, or clear it, first.")
    changed = dict(values) | dict(zip(secret.variables, new, strict=True))
    if secret.is_list:
        (name,) = secret.variables
        changed[name] = SEPARATOR.join((*new, *accepted(values, secret)))
    if secret.previous:
        changed[secret.previous] = values[secret.variables[0]]
    return changed


def finished(values: Variables, secret: Secret) -> dict[str, str]:
    """Return the variables with only the newest value left."""
    changed = dict(values)
    if secret.is_list:
        changed[secret.variables[0]] = accepted(values, secret)[0]
    if secret.previous:
        changed.pop(secret.previous, None)
    return changed


def accepted(values: Variables, secret: Secret) -> tuple[str, ...]:
    """Return every value in force, the newest first; none when the secret is not set."""
    if secret.is_list:
        return tuple(part.strip() for part in values.get(secret.variables[0], "").split(SEPARATOR) if part.strip())
    if not all(values.get(name) for name in secret.variables):
        return ()
    older = values.get(secret.previous or "")
    return ("\n".join(_current(values, secret)), *([older] if older else []))


def fingerprints(values: Variables, secret: Secret) -> list[str]:
    """Return fingerprints that tell the values in force apart and give none away, the newest first."""
    return [fingerprint(secret, value) for value in accepted(values, secret)]


def fingerprint(secret: Secret, value: str) -> str:
    """Hash a value; these are long and random, so that a hash cut to 48 bits leads nowhere back."""
    return hashlib.sha256(f"scopekit {secret.name}\n{value}".encode()).hexdigest()[:SHOWN_DIGITS]


def _current(values: Variables, secret: Secret) -> tuple[str, ...]:
    if secret.is_list:
        return accepted(values, secret)[:1]
    return tuple(values.get(name, "") for name in secret.variables)


def _is_fit(text: str) -> bool:
    return (
        bool(text)
        and text.isprintable()
        and not any(character.isspace() or character == SEPARATOR for character in text)
    )
