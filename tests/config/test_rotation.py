"""What an exchange does to a secret's variables. Values in, values out."""

import os
import stat
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


def test_a_secrets_file_stays_whose_it_is(tmp_path: Path) -> None:
    """Root rewrites it for services that run as another user, behind a link too; others still may not read it."""
    path, link = tmp_path / "real" / "secrets.env", tmp_path / "secrets.env"
    path.parent.mkdir()
    path.write_text("JWT_SECRETS='old'\n")
    owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    path.chmod(0o644)
    link.symlink_to(path)
    write_secrets(link, {"JWT_SECRETS": "new"})
    assert link.is_symlink()
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (*owner, 0o640)
    assert read_secrets(path) == {"JWT_SECRETS": "new"}


def test_nobody_reads_new_secrets_in_what_a_crash_left(tmp_path: Path) -> None:
    """A file of the new one's name is thrown away, not written into with the rights it has."""
    path, left = tmp_path / "secrets.env", tmp_path / "secrets.env.new"
    left.write_text("")
    left.chmod(0o644)
    with left.open() as reader:
        write_secrets(path, {"JWT_SECRETS": "new"})
        assert reader.read() == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
