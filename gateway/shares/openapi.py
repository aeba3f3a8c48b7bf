"""`/openapi.json` on shares: the contractor's side, and the customer's under `/e/`."""

from typing import Literal, TypeAlias, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from gateway.openapi.operation import (
    BYTES,
    TEXT,
    Answer,
    Content,
    Operation,
    PageOf,
    Param,
    Shape,
    gives,
    paged,
    takes_json,
)
from gateway.openapi.values import Answered, Moment, Money, Sha256
from gateway.shares.form import DecisionForm, OpenForm, QuestionForm
from gateway.shares.mails import MESSAGE_LENGTH, MailOrder
from gateway.shares.qr import QrOrder
from gateway.shares.shares import TIMELINE_EVENTS, PhoneDecision, Rotation, ShareChange, ShareOrder
from gateway.shares.shares import Answer as AnswerOrder
from store.documents.display import Markup, Prices
from store.media.media import EDGES

ShareEventKind: TypeAlias = (
    Literal[
        "opened",
        "photo",
        "pdf",
        "certificate",
        "rotated",
        "question",
        "answer",
        "version",
        "locked",
        "revoked",
        "mail_queued",
        "mailed",
        "mail_failed",
    ]
    | Answered
)


class Decision(Shape):
    """The customer's answer."""

    decision: Answered
    name: str
    message: str
    decided_at: Moment
    option: str
    total: Money | None
    taken: Literal["online", "in_person", "phone"]


class LastMail(Shape):
    """The newest mail with a link of a share."""

    to: str
    state: Literal["queued", "sent", "failed"]
    reason: str


class Display(Shape):
    """The parts of the estimate that the customer sees."""

    quantities: bool
    prices: Prices
    markup: Markup
    photos: bool
    hidden_photos: list[UUID]


class Share(Shape):
    """A link for one recipient, and its fate."""

    id: UUID
    estimate_id: UUID
    version: int
    visit_id: UUID
    recipient: str
    has_passcode: bool
    max_views: int | None
    views: int
    remaining: int | None
    expires_at: Moment
    revoked_at: Moment | None
    created_at: Moment
    display: Display
    reminders: bool
    in_person: bool
    state: Literal["ready", "revoked", "expired", "used_up"]
    status: Literal["sent", "opened", "accepted", "declined", "changes_requested", "expired", "used_up", "revoked"]
    unanswered: bool
    first_opened_at: Moment | None
    last_opened_at: Moment | None
    decision: Decision | None
    mail: LastMail | None


class NewLink(Share):
    """A share with its link, which no other answer tells."""

    token: str
    url: str


class Shares(PageOf):
    """The newest first."""

    shares: list[Share]


class Question(Shape):
    """A question of the customer, or an answer to one."""

    id: UUID
    kind: Literal["question", "answer"]
    name: str
    body: str
    sent_at: Moment


class Questions(PageOf):
    """Oldest first."""

    questions: list[Question]


class ShareEvent(Shape):
    """Something that happened with a share."""

    kind: ShareEventKind
    happened_at: Moment
    user_agent_class: str
    address_prefix: str
    media_id: UUID | None
    detail: str


class Mail(Shape):
    """A mail with a link of a share; `reason` says why it failed."""

    id: UUID
    share_id: UUID
    kind: str
    address: str
    message: str
    state: Literal["queued", "sent", "failed"]
    reason: str
    queued_at: Moment
    settled_at: Moment | None


class Timeline(PageOf):
    """Oldest first."""

    events: list[ShareEvent]


class CertifiedFacts(Shape):
    """The fields of a certificate's text."""

    model_config = ConfigDict(extra="allow")

    accepted_by: str
    accepted_at: Moment
    content_hash: Sha256
    total: str
    currency: str
    share_id: UUID


class Certificate(Shape):
    """An acceptance; sha256 of `certificate`, byte for byte, is `fingerprint`."""

    certificate: str
    fingerprint: Sha256
    facts: CertifiedFacts


class CheckedCertificate(Certificate):
    """An acceptance, and whether it still certifies the rows of the database."""

    holds: bool


class News(Shape):
    """The state that an open page polls."""

    version: int
    newest: int
    decision: str | None
    messages: int


class ThreadMessage(Shape):
    """One message as the page shows it."""

    writer: str
    is_ours: bool
    body: str
    sent: str


class Thread(Shape):
    """The thread of an open page, oldest first."""

    messages: list[ThreadMessage]


def _form(model: type[BaseModel]) -> Content:
    return {"application/x-www-form-urlencoded": model, "application/json": model}


_BACK = {303: Answer("Back to the page.", {}, {"location": "The page."})}
_ACTION = Operation(_BACK, "reader")
_PAGE = {200: Answer("The landing page, or for a live session the document.", {"text/html": TEXT})}
_SIZE = Param("size", {"enum": [*EDGES]}, "`view` unless it is said.")
_MESSAGE = Param("message", {"type": "string", "maxLength": MESSAGE_LENGTH}, "Words instead of the company's own.")
_PHOTO = {
    200: Answer("The JPEG, where media come through the gateway.", {"image/jpeg": BYTES}),
    302: Answer("Where the JPEG is, for a while.", {}, {"location": "A signed URL."}),
}
_IMAGE = {200: Answer("The JPEG.", {"image/jpeg": BYTES})}

OPERATIONS = {
    "POST /v1/estimates/{estimate_id}/shares": Operation(
        gives(NewLink, 201, headers={"location": "Where it is."}),
        takes=takes_json(ShareOrder),
        refuses=(409,),
        limited=True,
    ),
    "GET /v1/estimates/{estimate_id}/shares": Operation(gives(Shares), params=paged()),
    "GET /v1/shares/{share_id}": Operation(gives(Share), conditional=True),
    "PATCH /v1/shares/{share_id}": Operation(
        gives(Share), takes=takes_json(ShareChange), conditional=True, refuses=(409,)
    ),
    "GET /v1/estimates/{estimate_id}/preview": Operation(
        {200: Answer("The page.", {"text/html": TEXT})},
        params=(
            Param("quantities", {"type": "boolean"}, "Whether quantities are shown."),
            Param("prices", {"enum": [*get_args(Prices)]}, "Unit and line prices, line prices, or the total alone."),
            Param("markup", {"enum": [*get_args(Markup)]}, "The markup as a line, or folded into the prices."),
            Param("photos", {"type": "boolean"}, "Whether photos are shown."),
            Param("hidden_photos", {"type": "string", "maxLength": 20_000}, "Ids of photos to hide, with commas."),
        ),
    ),
    "POST /v1/shares/{share_id}/revoke": Operation(gives(Share)),
    "POST /v1/shares/{share_id}/rotate": Operation(gives(NewLink), takes=takes_json(Rotation), refuses=(409,)),
    "POST /v1/shares/{share_id}/mails": Operation(
        gives(Mail, 202, headers={"location": "The share's story."}),
        takes=takes_json(MailOrder),
        must_take=True,
        refuses=(409, 422, 429),
    ),
    "POST /v1/shares/{share_id}/qr": Operation(
        {200: Answer("The link as a QR code.", {"image/svg+xml": TEXT})}, takes=takes_json(QrOrder), must_take=True
    ),
    "GET /v1/shares/{share_id}/mail-preview": Operation(
        {200: Answer("The mail as its receiver sees it; its title is the subject.", {"text/html": TEXT})},
        params=(_MESSAGE,),
    ),
    "POST /v1/shares/{share_id}/decision": Operation(
        gives(Share), takes=takes_json(PhoneDecision), must_take=True, refuses=(409,)
    ),
    "GET /v1/shares/{share_id}/questions": Operation(gives(Questions), params=paged()),
    "POST /v1/shares/{share_id}/questions": Operation(
        gives(Question, 201, headers={"location": "The thread."}), takes=takes_json(AnswerOrder), must_take=True
    ),
    "GET /v1/shares/{share_id}/timeline": Operation(gives(Timeline), params=paged(TIMELINE_EVENTS)),
    "GET /v1/shares/{share_id}/certificate": Operation(gives(CheckedCertificate)),
    "GET /e/{token}": Operation(_PAGE, "reader"),
    "GET /e/{token}/open": _ACTION,
    "POST /e/{token}/open": Operation(_BACK, "reader", _form(OpenForm), refuses=(403,)),
    "GET /e/{token}/decision": _ACTION,
    "POST /e/{token}/decision": Operation(_BACK, "reader", _form(DecisionForm), must_take=True, refuses=(403, 409)),
    "GET /e/{token}/question": _ACTION,
    "POST /e/{token}/question": Operation(_BACK, "reader", _form(QuestionForm), must_take=True, refuses=(403, 409)),
    "GET /e/{token}/news": Operation(gives(News), "reader"),
    "GET /e/{token}/thread": Operation(gives(Thread), "reader"),
    "GET /e/{token}/media/{media_id}": Operation(_PHOTO, "reader", params=(_SIZE,), refuses=(422,)),
    "GET /e/{token}/logo": Operation(_IMAGE, "reader"),
    "GET /e/{token}/colours.css": Operation({200: Answer("The colours.", {"text/css": TEXT})}, "reader"),
    "GET /e/{token}/estimate.pdf": Operation({200: Answer("The PDF.", {"application/pdf": BYTES})}, "reader"),
    "GET /e/{token}/certificate.json": Operation(gives(Certificate), "reader"),
    "GET /e/{token}/{rest}": Operation({}, "reader"),
}
