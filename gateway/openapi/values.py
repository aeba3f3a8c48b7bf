"""The values that answers are made of, as they stand in JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

# Money and rates are strings, so that no reader makes a binary fraction of them.
Money: TypeAlias = Annotated[str, Field(pattern=r"^-?\d+\.\d{2}$", examples=["1850.00"])]
Rate: TypeAlias = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$", examples=["0.08250"])]
Moment: TypeAlias = Annotated[datetime, Field(description="ISO 8601 in UTC.")]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EpochMs: TypeAlias = Annotated[int, Field(description="Milliseconds since 1970 in UTC.")]

Role: TypeAlias = Literal["owner", "admin", "member", "viewer"]
MediaType: TypeAlias = Literal["photo", "audio"]
Answered: TypeAlias = Literal["accepted", "declined", "changes_requested"]


def _drop_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def absent(description: str) -> Any:
    """Describe a field that is left out where it says nothing."""
    return Field(default=None, description=description, json_schema_extra=_drop_default)
