"""The catalogue of webhook events: each type, its occasion and its `data`.

The triggers in `store/schema/events/webhooks.sql` write them; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

TEST = "webhook.test"

_ID = "018f3c5e-7b1a-7c3d-9e2f-4a5b6c7d8e9f"
_OTHER = "018f3c5e-7b1a-7c3d-9e2f-4a5b6c7d8ea0"
_THIRD = "018f3c5e-7b1a-7c3d-9e2f-4a5b6c7d8ea1"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_AT = "2026-03-02T09:30:00Z"
_LATER = "2026-03-09T09:30:00Z"

VisitId: TypeAlias = Annotated[UUID, Field(examples=[_ID])]
Id: TypeAlias = Annotated[UUID, Field(examples=[_OTHER])]
At: TypeAlias = Annotated[datetime, Field(examples=[_AT])]
Money: TypeAlias = Annotated[str, Field(pattern=r"^-?\d+\.\d{2}$", examples=["1240.50"])]
Nothing: TypeAlias = Annotated[str, Field(pattern=r"^-?\d+\.\d{2}$", examples=["0.00"])]
Hash: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=[_HASH])]


class _Data(BaseModel):
    """An event's data; later versions may add members."""

    model_config = ConfigDict(extra="forbid")


class VisitData(_Data):
    """A visit; its notes are read by `GET /v1/visits/{visit_id}`."""

    visit_id: VisitId
    external_id: Annotated[str | None, Field(description="How your system calls it.", examples=["job-1042"])]
    title: Annotated[str, Field(examples=["Water heater"])]
    customer_name: Annotated[str, Field(examples=["Ana Ruiz"])]
    address: Annotated[str, Field(examples=["12 Elm Street"])]
    status: Annotated[Literal["in_progress", "finalizing", "completed", "failed"], Field(examples=["in_progress"])]
    metadata: Annotated[dict[str, str], Field(examples=[{"crew": "north"}])]
    created_at: At
    updated_at: At


class MediaData(_Data):
    """A photo or a recording."""

    media_id: Id
    visit_id: VisitId
    media_type: Annotated[Literal["photo", "audio"], Field(examples=["photo"])]
    content_type: Annotated[str, Field(examples=["image/jpeg"])]
    file_size: Annotated[int, Field(description="Bytes.", examples=[2048000])]
    sha256: Hash
    created_at: At


class EstimateData(_Data):
    """A version of an estimate; its lines are read by `GET /v1/visits/{visit_id}/estimate`."""

    estimate_id: Id
    visit_id: VisitId
    version: Annotated[int, Field(examples=[1])]
    job_id: Annotated[UUID | None, Field(description="The job that made it; null: an edit.", examples=[_THIRD])]
    currency: Annotated[str, Field(examples=["USD"])]
    subtotal: Money
    markup: Nothing
    discount: Nothing
    tax: Nothing
    total: Money
    line_count: Annotated[int, Field(examples=[4])]
    unpriced_count: Annotated[int, Field(description="Lines outside the total.", examples=[0])]
    content_hash: Hash
    created_at: At


class EstimateFailedData(_Data):
    """A job that made no estimate."""

    job_id: Annotated[UUID, Field(examples=[_THIRD])]
    visit_id: VisitId
    error_code: Annotated[str | None, Field(examples=["nothing_to_estimate"])]
    error: Annotated[str | None, Field(description="A sentence for a person.", examples=["There is nothing here."])]
    failed_at: At


class ShareData(_Data):
    """A link to an estimate."""

    share_id: Annotated[UUID, Field(examples=[_THIRD])]
    visit_id: VisitId
    estimate_id: Id
    recipient: Annotated[str, Field(examples=["Ana Ruiz"])]
    views: Annotated[int, Field(examples=[1])]
    expires_at: Annotated[datetime, Field(examples=[_LATER])]
    revoked_at: Annotated[datetime | None, Field(examples=[None])]
    created_at: At


class DecisionData(_Data):
    """A customer's answer to an estimate."""

    share_id: Annotated[UUID, Field(examples=[_THIRD])]
    visit_id: VisitId
    estimate_id: Id
    estimate_version: Annotated[int, Field(examples=[1])]
    content_hash: Hash
    name: Annotated[str, Field(examples=["Ana Ruiz"])]
    message: Annotated[str, Field(examples=["Please start on Monday."])]
    decided_at: At


class QuestionData(_Data):
    """A customer's question, or the company's answer."""

    question_id: Id
    share_id: Annotated[UUID, Field(examples=[_THIRD])]
    visit_id: VisitId
    name: Annotated[str, Field(examples=["Ana Ruiz"])]
    body: Annotated[str, Field(examples=["Does the price include removal?"])]
    sent_at: At


class PersonData(_Data):
    """A person of the company; a removed one with the last role."""

    user_id: Id
    role: Annotated[Literal["owner", "admin", "member", "viewer"], Field(examples=["member"])]
    email: Annotated[str | None, Field(examples=["kim@example.com"])]


class TestData(_Data):
    """A test of an endpoint."""

    __test__ = False  # no test of the suite's

    endpoint_id: Id


@dataclass(frozen=True)
class EventType:
    """One type of event: its occasion and its data."""

    when: str
    data: type[BaseModel]

    def example(self, name: str) -> dict[str, Any]:
        """Return a whole body as a receiver gets it."""
        properties = self.data.model_json_schema()["properties"]
        return {
            "type": name,
            "timestamp": "2026-03-02T09:30:00.250000Z",
            "data": {field: schema["examples"][0] for field, schema in properties.items()},
        }


CATALOGUE: Mapping[str, EventType] = {
    "visit.created": EventType("A visit was made.", VisitData),
    "visit.updated": EventType("Title, customer, address, notes, external id or metadata changed.", VisitData),
    "media.created": EventType("A photo or recording is stored.", MediaData),
    "media.deleted": EventType("A photo or recording was deleted.", MediaData),
    "estimate.created": EventType("An estimate, or a new version of one by an edit.", EstimateData),
    "estimate.failed": EventType("An estimate's job failed for good.", EstimateFailedData),
    "share.created": EventType("A link for a customer was made.", ShareData),
    "share.opened": EventType("A customer opened a link for the first time.", ShareData),
    "share.revoked": EventType("A link was revoked.", ShareData),
    "share.accepted": EventType("A customer accepted the estimate.", DecisionData),
    "share.declined": EventType("A customer declined the estimate.", DecisionData),
    "share.changes_requested": EventType("A customer asked for changes.", DecisionData),
    "share.question_asked": EventType("A customer asked a question.", QuestionData),
    "share.question_answered": EventType("The company answered a customer.", QuestionData),
    "person.joined": EventType("A person joined the company.", PersonData),
    "person.role_changed": EventType("A person has another role.", PersonData),
    "person.removed": EventType("A person left the company, or was removed.", PersonData),
    TEST: EventType("An administrator asked for a test. Every endpoint gets it.", TestData),
}
# What an endpoint may ask for.
CHOICES = tuple(name for name in CATALOGUE if name != TEST)
