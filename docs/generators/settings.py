"""The table of settings, from their definition."""

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings import Settings

HEAD = "| Variable | Default | Meaning |\n|---|---|---|\n"


def settings_table() -> str:
    """Return a line for each setting: its variable, its default, its meaning."""
    return HEAD + "".join(
        f"| `{name.upper()}` | {_default(field)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    )


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "required"
    if default is None or default == () or isinstance(default, SecretStr):
        return ""
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"`{shown.lower() if isinstance(default, bool) else shown}`"
