"""The file of SECRETS_FILE: NAME='value' lines of the secrets that rotate, readable by its owner alone."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from config.rotation import VARIABLES


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
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{name}='{_escaped(value)}'\n" for name, value in sorted(values.items()))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
