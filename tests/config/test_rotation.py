"""What an exchange does to a secret's variables. Values in, values out."""

from pathlib import Path

import pytest

from config.rotation import SECRETS, RotationError, Secret, accepted, begun, fingerprints, finished
from config.secrets_file import SecretsFileError, read_secrets, write_secrets

JWT, QUEUE, S3 = SECRETS["jwt"], SECRETS["internal-queue-key"], SECRETS["s3"]
BEFORE = {"JWT_SECRETS": "old", "INTERNAL_QUEUE_KEY": "old", "S3_ACCESS_KEY_ID": "id", "S3_SECRET_ACCESS_KEY": "old"}


@pytest.mark.parametrize("secret", [JWT, QUEUE])
def test_old_and_new_are_accepted_until_the_end(secret: Secret) -> None:
    """The newest first; after the end it is alone."""
    between = begun(BEFORE, secret, ("new",))
    assert accepted(between, secret) == ("new", "old")
    assert accepted(finished(between, secret), secret) == ("new",)


def test_a_providers_key_is_replaced_whole() -> None:
    """Its provider accepts both; we use the new one."""
    assert accepted(begun(BEFORE, S3, ("id2", "new")), S3) == ("id2\nnew",)


@pytest.mark.parametrize(
    ("values", "new", "said"),
    [
        (BEFORE, ("old",), "in force already"),
        (BEFORE, ("two words",), "without spaces or commas"),
        (BEFORE, ("a,b",), "without spaces or commas"),
        (BEFORE, (), "one line each"),
        (BEFORE | {"INTERNAL_QUEUE_KEY_PREVIOUS": "older"}, ("new",), "is still set"),
    ],
)
def test_what_cannot_be_exchanged_is_said_without_a_value(
    values: dict[str, str], new: tuple[str, ...], said: str
) -> None:
    """Nothing half done: an older value that is still accepted must not be lost unseen."""
    with pytest.raises(RotationError, match=said) as refused:
        begun(values, QUEUE, new)
    assert "older" not in str(refused.value)


def test_fingerprints_tell_secrets_apart_and_give_nothing_away() -> None:
    """The same value under another name looks different."""
    jwt, queue = fingerprints(BEFORE, JWT), fingerprints(BEFORE, QUEUE)
    assert len({*jwt, *queue}) == 2
    assert "old" not in jwt[0]


def test_a_secrets_file_brings_back_what_was_written(tmp_path: Path) -> None:
    """Quotes and backslashes too; what does not belong there is refused by name."""
    path = tmp_path / "secrets.env"
    odd = {"JWT_SECRETS": r"a'b\c\\d$HOME#x", "OPENAI_API_KEY": "sk-1"}
    write_secrets(path, odd)
    assert read_secrets(path) == odd
    path.write_text("DATABASE_URL='hush'\n")
    with pytest.raises(SecretsFileError, match="holds DATABASE_URL") as refused:
        read_secrets(path)
    assert "hush" not in str(refused.value)
