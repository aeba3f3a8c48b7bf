"""`/openapi.json` on estimates, the price book and documents' branding."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from gateway.documents.branding import BrandChange
from gateway.estimates.line_edits import READ_ONLY, LineEdit
from gateway.estimates.price_file import NewPriceItem, PriceItemChange
from gateway.estimates.price_items import MOST_SHOWN
from gateway.openapi.operation import (
    BYTES,
    TEXT,
    Answer,
    Operation,
    PageOf,
    Param,
    Shape,
    gives,
    header,
    paged,
    takes_json,
    whole_number,
)
from gateway.openapi.values import Moment, Money, Rate, Sha256, absent
from store.documents.display import Markup, Prices


class Usage(Shape):
    """The model calls that an estimate took; empty for one made by a person."""

    model_config = ConfigDict(extra="allow")

    input_tokens: int = absent("Of all calls.")
    output_tokens: int = absent("Of all calls.")
    audio_seconds: float = absent("Heard in all.")
    cost: str | None = absent("In USD; null where no call knew its own.")


class EstimateHead(Shape):
    """A version of an estimate without its lines."""

    id: UUID
    visit_id: UUID
    version: int
    status: Literal["draft", "accepted", "declined", "changes_requested"]
    job_id: UUID | None
    engine: str
    model: str
    summary: str
    coverage: list[str]
    usage: Usage
    currency: str
    subtotal: Money
    markup_rate: Rate
    markup: Money
    discount_rate: Rate | None
    discount_fixed: Money
    discount: Money
    tax_rate: Rate
    tax: Money
    total: Money
    options: list[str]
    chosen_option: str
    line_count: int
    unpriced_count: int
    content_hash: Sha256
    created_by: UUID | None
    created_at: Moment


class Region(Shape):
    """A rectangle in a photo, in shares of its width and height, from the top left."""

    x: float
    y: float
    w: float
    h: float


class Evidence(Shape):
    """Why a line is there: words that were typed or spoken, or a place in a photo; times are ms from the beginning."""

    model_config = ConfigDict(extra="allow")

    source: Literal["notes", "label", "audio", "photo"]
    media_id: UUID | None = absent("The photo or recording.")
    quote: str | None = absent("The words.")
    start_ms: int | None = absent("Where they begin.")
    end_ms: int | None = absent("Where they end.")
    region: Region | None = absent("The place in the photo.")


class Match(Shape):
    """How a line met the price book; scores are 0 to 1."""

    model_config = ConfigDict(extra="allow")

    name: str = absent("The item.")
    score: float = absent("How well it fits.")
    runner_up: str | None = absent("The next best item.")
    runner_up_score: float | None = absent("How well that one fits.")


def _mark_read_only(schema: dict[str, Any]) -> None:
    for name in READ_ONLY:
        part = schema["properties"][name]
        # Beside a reference, a generator of clients may drop what it names.
        if "$ref" not in part:
            part["readOnly"] = True


class EstimateLine(Shape):
    """A line, with its evidence in the visit. Read-only fields may be sent back in an edit, and are ignored."""

    model_config = ConfigDict(json_schema_extra=_mark_read_only)

    id: UUID
    position: int
    description: str
    category: str
    quantity: Rate
    unit: str
    unit_price: Money | None
    amount: Money | None
    price_item_id: UUID | None
    match: Match | None
    evidence: list[Evidence]
    assumptions: list[str]
    confidence: float | None
    needs_review: bool
    review_reasons: list[str]
    option: str


class Estimate(EstimateHead):
    """A version of an estimate."""

    lines: list[EstimateLine]


class ListedVersion(Shape):
    """A version in a list; `edited` by a person."""

    id: UUID
    version: int
    status: Literal["draft", "accepted", "declined", "changes_requested"]
    edited: bool
    engine: str
    total: Money
    currency: str
    line_count: int
    unpriced_count: int
    created_at: Moment


class Versions(PageOf):
    """The newest first."""

    versions: list[ListedVersion]


class ShownLine(Shape):
    """A customer's view of a line, or a part of it."""

    description: str = absent("What is done.")
    category: str = absent("The trade.")
    unit: str = absent("What it is counted in.")
    option: str = absent("The option it belongs to.")
    quantity: Rate = absent("How many.")
    unit_price: Money | None = absent("Of one; null without a price.")


class ComparedVersion(Shape):
    """One side of a comparison."""

    id: UUID
    version: int
    total: Money
    created_at: Moment


class LineChange(Shape):
    """A line that was added, removed or changed; of one that was changed, the fields that differ."""

    change: Literal["added", "removed", "changed"]
    description: str
    before: ShownLine = absent("What it was; absent for one that was added.")
    after: ShownLine = absent("What it is; absent for one that was removed.")


class TermChange(Shape):
    """A term of price that differs."""

    term: Literal["tax_rate", "markup_rate", "discount_rate", "discount_fixed", "options", "chosen_option"]
    before: str | list[str] | None
    after: str | list[str] | None


class VersionChanges(Shape):
    """How two versions differ."""

    older: ComparedVersion = Field(alias="from", serialization_alias="from")
    newer: ComparedVersion = Field(alias="to", serialization_alias="to")
    changes: list[LineChange]
    terms: list[TermChange]


class PriceItem(Shape):
    """An item of the price book."""

    id: UUID
    code: str
    description: str
    category: str
    unit: str
    unit_price: Money
    active: bool
    created_at: Moment
    updated_at: Moment


class PriceItems(PageOf):
    """Best first."""

    price_items: list[PriceItem]


class Imported(Shape):
    """The result of a file."""

    added: int
    updated: int


class BrandDisplay(Shape):
    """The parts that a new link shows unless it says otherwise."""

    quantities: bool
    prices: Prices
    markup: Markup
    photos: bool


class Brand(Shape):
    """The branding of documents; without a colour of its own, the standard one."""

    business_name: str
    address: str
    phone: str
    email: str
    license: str
    timezone: str
    terms: str
    mail_message: str
    accent: str | None
    has_logo: bool
    display: BrandDisplay


_VERSION = {"etag": 'The version, such as `"3"`.'}
_A_VERSION = {"type": "string", "pattern": r'^"[0-9]{1,9}"$'}
_FILE = {"text/csv": TEXT}
_LOGO = {"image/png": BYTES, "image/jpeg": BYTES, "image/webp": BYTES}

OPERATIONS = {
    "GET /v1/visits/{visit_id}/estimate": Operation(gives(Estimate), conditional=True),
    "GET /v1/estimates/{estimate_id}": Operation(gives(Estimate), conditional=True),
    "GET /v1/visits/{visit_id}/estimates": Operation(gives(Versions), params=paged()),
    "GET /v1/estimates/{estimate_id}/changes": Operation(
        gives(VersionChanges), params=(Param("since", whole_number(1, 999_999_999), "The version to compare with."),)
    ),
    "PUT /v1/estimates/{estimate_id}/lines": Operation(
        gives(Estimate, 201, headers=_VERSION | {"location": "The new version."}),
        takes=takes_json(LineEdit),
        must_take=True,
        params=(header("If-Match", _A_VERSION, "What the edit was made from.", required=True),),
        refuses=(412, 428),
    ),
    "GET /v1/price-items": Operation(
        gives(PriceItems),
        params=paged(
            MOST_SHOWN,
            Param("q", {"type": "string", "maxLength": 200}, "Words to look for."),
            Param("unit", {"type": "string", "maxLength": 32}, "Only what is sold by this unit."),
        ),
    ),
    "POST /v1/price-items": Operation(
        gives(PriceItem, 201, headers={"location": "Where it is.", "etag": "Its ETag."}),
        takes=takes_json(NewPriceItem),
        must_take=True,
    ),
    "GET /v1/price-items/{item_id}": Operation(gives(PriceItem), conditional=True),
    "PATCH /v1/price-items/{item_id}": Operation(gives(PriceItem), takes=takes_json(PriceItemChange), conditional=True),
    "DELETE /v1/price-items/{item_id}": Operation({204: Answer("It is gone.")}, conditional=True),
    "GET /v1/price-items/export": Operation({200: Answer("The whole book.", _FILE)}, limited=True),
    "POST /v1/price-items/import": Operation(
        gives(Imported), takes=_FILE, must_take=True, refuses=(422,), limited=True
    ),
    "GET /v1/branding": Operation(gives(Brand), conditional=True),
    "PATCH /v1/branding": Operation(gives(Brand), takes=takes_json(BrandChange), conditional=True),
    "GET /v1/branding/logo": Operation(
        {302: Answer("Where it is.", {}, {"location": "A signed URL."})},
        params=(Param("v", {"type": "string", "maxLength": 32}, "Anything, to pass a browser's cache."),),
    ),
    "GET /v1/branding/colours.css": Operation({200: Answer("The colours.", {"text/css": TEXT})}),
    "PUT /v1/branding/logo": Operation(gives(Brand), takes=_LOGO, must_take=True, refuses=(422,), conditional=True),
    "DELETE /v1/branding/logo": Operation({204: Answer("There is none any more.")}, conditional=True),
}
