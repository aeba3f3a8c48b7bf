"""The rotating secrets as one process has them in force, and their fingerprints."""

from config.rotation import SECRETS, SEPARATOR, VARIABLES, fingerprints
from config.settings import Settings


def values_of(settings: Settings) -> dict[str, str]:
    """Return the variables as a process has them in force."""
    values = {}
    for name in VARIABLES:
        value = getattr(settings, name.lower())
        parts = value if isinstance(value, tuple) else (value,) if value is not None else ()
        values[name] = SEPARATOR.join(part.get_secret_value() for part in parts)
    return {name: value for name, value in values.items() if value}


def keys_in_use(settings: Settings) -> dict[str, list[str]]:
    """Return the fingerprints of every secret of a process, by name."""
    values = values_of(settings)
    return {secret.name: fingerprints(values, secret) for secret in SECRETS.values()}
