"""`/openapi.json` on estimates, the price book and documents' branding."""

from typing import Any
from uuid import UUID

from pydantic import Field

from gateway.documents.branding import BrandChange
from gateway.estimates.line_edits import LineEdit
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
from gateway.openapi.values import Moment, Money, Rate, Sha256
from store.documents.display import Markup, Prices


class EstimateHead(Shape):
    """A version of an estimate without its lines."""

    id: UUID
    visit_id: UUID
    version: int
    status: str
    job_id: UUID | None
    engine: str
    model: str
    summary: str
    coverage: list[str]
    usage: dict[str, Any]
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


class EstimateLine(Shape):
    """A line, with its evidence in the visit."""

    id: UUID
    position: int
    description: str
    category: str
    quantity: Rate
    unit: str
    unit_price: Money | None
    amount: Money | None
    price_item_id: UUID | None
    match: dict[str, Any] | None
    evidence: list[dict[str, Any]]
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
    status: str
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


class ComparedVersion(Shape):
    """One side of a comparison."""

    id: UUID
    version: int
    total: Money
    created_at: Moment


class VersionChanges(Shape):
    """How two versions differ."""

    older: ComparedVersion = Field(alias="from", serialization_alias="from")
    newer: ComparedVersion = Field(alias="to", serialization_alias="to")
    changes: list[dict[str, Any]]
    terms: Any


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
    """What a new link shows unless it says otherwise."""

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
    "GET /v1/price-items/export": Operation({200: Answer("The whole book.", _FILE)}),
    "POST /v1/price-items/import": Operation(gives(Imported), takes=_FILE, must_take=True, refuses=(422,)),
    "GET /v1/branding": Operation(gives(Brand), conditional=True),
    "PATCH /v1/branding": Operation(gives(Brand), takes=takes_json(BrandChange), conditional=True),
    "GET /v1/branding/logo": Operation(
        {302: Answer("Where it is.", {}, {"location": "A signed URL."})},
        params=(Param("v", {"type": "string", "maxLength": 32}, "Anything, to pass a browser's cache."),),
    ),
    "GET /v1/branding/colours.css": Operation({200: Answer("The colours.", {"text/css": TEXT})}),
    "PUT /v1/branding/logo": Operation(gives(Brand), takes=_LOGO, must_take=True, refuses=(422,)),
    "DELETE /v1/branding/logo": Operation({204: Answer("There is none any more.")}),
}
