"""`/openapi.json` on webhook endpoints and their deliveries."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from gateway.openapi.operation import TEXT, Answer, Content, Operation, PageOf, Param, Shape, gives, paged, takes_json
from gateway.openapi.values import Moment
from gateway.webhooks.endpoints import STATES, EndpointChange, NewEndpoint, Since
from gateway.webhooks.page import AgainForm, EndpointForm, StatusForm
from store.webhooks.catalogue import CATALOGUE, CHOICES

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="  # noqa: S105 - an example
_MESSAGE = "msg_0198c5a27d3e7a109a643f1d2c5b7e90"

EventType = Annotated[str, Field(json_schema_extra={"enum": [*CATALOGUE]})]
Choice = Annotated[str, Field(json_schema_extra={"enum": [*CHOICES]})]
State = Annotated[str, Field(json_schema_extra={"enum": [*STATES]})]
Secret = Annotated[str, Field(pattern="^whsec_", examples=[_SECRET])]


class WebhookEndpoint(Shape):
    """Where events are delivered. `reason` of one that is not active: `by_hand`, `failing` for days, `gone` (410)."""

    id: UUID
    url: Annotated[str, Field(examples=["https://crm.example.com/hooks/scopekit"])]
    description: Annotated[str, Field(examples=["Our CRM"])]
    event_types: list[Choice]
    status: Literal["active", "paused", "disabled"]
    reason: Literal["", "by_hand", "failing", "gone"]
    failing_since: Moment | None
    next_try_at: Moment | None
    created_at: Moment
    updated_at: Moment


class MadeEndpoint(WebhookEndpoint):
    """A new endpoint with its secret, which is shown this once."""

    secret: Secret


class WebhookEndpoints(Shape):
    """All of the company, the newest first."""

    webhook_endpoints: list[WebhookEndpoint]


class NewSecret(Shape):
    """A new secret, shown this once."""

    secret: Secret


class Try(Shape):
    """One attempt: the answer's status, null without one, and the time it took; `error` is null when it was taken."""

    at: Moment
    status: int | None
    ms: int
    error: Annotated[str | None, Field(examples=["HTTP 500"])]


class Delivery(Shape):
    """An event on its way to an endpoint, with the last 20 attempts. `tries` counts all."""

    id: UUID
    webhook_id: Annotated[str, Field(description="The header `webhook-id`.", examples=[_MESSAGE])]
    type: EventType
    state: State
    tries: int
    answers: list[Try]
    created_at: Moment


class WebhookEvent(Shape):
    """The body that the receiver gets; `data` is as the catalogue says."""

    type: EventType
    timestamp: Moment
    data: dict[str, Any]


class WholeDelivery(Delivery):
    """A delivery with its event."""

    event: WebhookEvent


class Deliveries(PageOf):
    """The newest first; they are kept for 30 days."""

    deliveries: list[Delivery]


class Queued(Shape):
    """How many deliveries are made again."""

    queued: int


_LOCATION = {"location": "Where it is."}
_STATES = {"type": "array", "items": {"type": "string", "enum": [*STATES]}, "minItems": 1, "maxItems": 20}
_STATE = Param("state", _STATES, "In one of these states.")
_ONE = "/v1/webhook-endpoints/{endpoint_id}"

_HTML = {"text/html": TEXT}
_FORM = "application/x-www-form-urlencoded"
_PAGE = "/company/webhooks"
# A browser is shown what is wrong as a page.
_WRONG = {**_HTML, "application/problem+json": {"type": "object"}}


def _shown(text: str, *, takes: Content | None = None) -> Operation:
    wrong = {status: Answer("What is wrong.", _WRONG) for status in (400, 401, 403, 404, 409, 422)}
    leads_on = {303: Answer("Sign in, or choose a company.", headers={"location": "Where."})}
    return Operation({200: Answer(text, _HTML), **leads_on, **wrong}, takes=takes or {}, refuses=(429, 503))


def _done(text: str, takes: Content | None = None) -> Operation:
    wrong = {status: Answer("What is wrong.", _WRONG) for status in (400, 401, 403, 404, 409, 422, 429)}
    return Operation({303: Answer(text, headers={"location": "The page."}), **wrong}, takes=takes or {}, refuses=(503,))


PAGES = {
    f"GET {_PAGE}": _shown("The endpoints of the company."),
    f"POST {_PAGE}": _shown("The endpoint, with its secret this once.", takes={_FORM: EndpointForm}),
    f"GET {_PAGE}/{{endpoint_id}}": _shown("An endpoint with its log."),
    f"POST {_PAGE}/{{endpoint_id}}": _done("Changed.", {_FORM: EndpointForm}),
    f"POST {_PAGE}/{{endpoint_id}}/status": _done("Paused, or on.", {_FORM: StatusForm}),
    f"POST {_PAGE}/{{endpoint_id}}/rotate": _shown("The new secret, this once."),
    f"POST {_PAGE}/{{endpoint_id}}/test": _done("A test event is queued."),
    f"POST {_PAGE}/{{endpoint_id}}/again": _done("Failed deliveries are queued.", {_FORM: AgainForm}),
    f"POST {_PAGE}/{{endpoint_id}}/deliveries/{{delivery_id}}/again": _done("The delivery is queued."),
    f"POST {_PAGE}/{{endpoint_id}}/delete": _done("The endpoint is deleted."),
}

OPERATIONS = {
    **PAGES,
    "GET /v1/webhook-endpoints": Operation(gives(WebhookEndpoints)),
    "POST /v1/webhook-endpoints": Operation(
        gives(MadeEndpoint, 201, headers=_LOCATION), takes=takes_json(NewEndpoint), must_take=True, refuses=(409,)
    ),
    f"GET {_ONE}": Operation(gives(WebhookEndpoint)),
    f"PATCH {_ONE}": Operation(gives(WebhookEndpoint), takes=takes_json(EndpointChange)),
    f"DELETE {_ONE}": Operation({204: Answer("It is deleted.")}),
    f"POST {_ONE}/rotate-secret": Operation(gives(NewSecret)),
    f"POST {_ONE}/test": Operation(gives(WholeDelivery, 202, headers=_LOCATION), refuses=(409,)),
    f"POST {_ONE}/redeliver": Operation(
        gives(Queued, 202, headers=_LOCATION), takes=takes_json(Since), must_take=True, refuses=(409,)
    ),
    f"GET {_ONE}/deliveries": Operation(gives(Deliveries), params=paged(200, _STATE)),
    f"GET {_ONE}/deliveries/{{delivery_id}}": Operation(gives(WholeDelivery)),
    f"POST {_ONE}/deliveries/{{delivery_id}}/redeliver": Operation(
        gives(WholeDelivery, 202, headers=_LOCATION), refuses=(409,)
    ),
}
