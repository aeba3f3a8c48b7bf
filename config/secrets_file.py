"""The file of SECRETS_FILE: NAME='value' lines of the secrets that rotate, for its owner and at most its group."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

from config.rotation import VARIABLES

MOST_RIGHTS = 0o640


class SecretsFileError(ValueError):
    """The file cannot be used; the message names it and never a value."""


def read_secrets(path: Path) -> dict[str, str]:
    """Return its variables. Raises `SecretsFileError`."""
    try:
        with path.open(encoding="utf-8") as file:
            found = dotenv_values(stream=file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsFileError(f"{path} cannot be read ({type(error).__name__})") from None
    if unknown := sorted(set(found) - VARIABLES):
        raise SecretsFileError(f"{path} holds {', '.join(unknown)}; only {', '.join(sorted(VARIABLES))} belong there")
    return {name: value for name, value in found.items() if value}


def write_secrets(path: Path, values: Mapping[str, str]) -> None:
    """Write beside, then rename: a crash leaves the old file or the new one, and nobody else may read either."""
    path = path.resolve()
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _keep_rights(path, descriptor)
        file.writelines(f"{name}='{_escaped(value)}'\n" for name, value in sorted(values.items()))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _keep_rights(path: Path, descriptor: int) -> None:
    """Keep the file's owner: root writes it, and the services that read it run as another user."""
    with suppress(FileNotFoundError):
        was = path.stat()
        os.fchown(descriptor, was.st_uid, was.st_gid)
        os.fchmod(descriptor, was.st_mode & MOST_RIGHTS)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
