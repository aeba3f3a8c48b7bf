"""The choice of parts that customers see, as clients send it."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from store.documents.display import Markup, Prices


class DisplayChoice(BaseModel):
    """The parts of an estimate that customers see; a field left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    quantities: bool = True
    prices: Prices = "unit"
    markup: Markup = "folded"
    photos: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the choices that were made, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)


class ShareDisplayChoice(DisplayChoice):
    """For one share: also which of the cited photos stay hidden."""

    hidden_photos: Annotated[list[UUID], Field(max_length=500)] = []
