"""`/openapi.json` on health, metrics, pages, and the caller."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from gateway.openapi.operation import JSON, TEXT, Answer, Operation, Shape, gives, takes_json
from gateway.openapi.values import Moment, Rate, Role, absent
from gateway.pages.demo_progress import Insertion

HTML = {"text/html": TEXT}


class Liveness(Shape):
    """The event loop turns."""

    status: str


class Readiness(BaseModel):
    """Whether to send traffic here; each check by its name."""

    status: str
    accepting: bool
    database: bool


class PausedSwitch(BaseModel):
    """A paused part of the queue, and until when; null is until somebody resumes it."""

    name: str
    state: Literal["paused", "open", "half_open", "over"]
    until: Moment | None


class QueueHealth(BaseModel):
    """How the queue is."""

    depth: int
    healthy: bool
    paused: list[PausedSwitch]


class Health(BaseModel):
    """The runbook's report; each check by its name."""

    status: str
    database: bool
    storage: bool
    queue: QueueHealth
    last_job_success: Moment | None
    problems: list[str] = absent("What is wrong, in words; absent while nothing is.")


class Profile(Shape):
    """The words of the company's documents; one that nobody has set is left out."""

    model_config = ConfigDict(extra="allow")

    business_name: str = absent("Its name.")
    address: str = absent("Where it is.")
    phone: str = absent("Its telephone.")
    email: str = absent("Its mailbox.")
    license: str = absent("Its licence.")
    timezone: str = absent("Its time zone, such as `America/New_York`.")
    terms: str = absent("What every offer says at its end.")


class VisitFlags(Shape):
    """Features; one that is absent is off."""

    model_config = ConfigDict(extra="allow")

    enabled: bool = absent("The company may use the product.")
    ai_estimation_enabled: bool = absent("Estimates are made.")
    ws_progress_enabled: bool = absent("Work may be watched live.")


class Flags(Shape):
    """The flags that are on for the company."""

    model_config = ConfigDict(extra="allow")

    visits: VisitFlags = absent("Of visits.")


class TenantOfCaller(Shape):
    """The caller's tenant and its settings; no mail of a test company leaves."""

    id: UUID
    name: str
    is_test: bool
    currency: str
    tax_rate: Rate
    profile: Profile


class Me(Shape):
    """The caller."""

    user_id: UUID
    role: Role
    tenant: TenantOfCaller
    flags: Flags


class Inserted(Shape):
    """Where the events of the demo went."""

    visit_id: UUID
    last_seq: int


class ProblemPage(Shape):
    """A problem code: its status, its remedy and the members of its documents."""

    type: str
    code: str
    status: int
    title: str
    remedy: str
    members: dict[str, Any]


class ProblemPages(Shape):
    """Every problem code."""

    problems: list[ProblemPage]


_HEALTH = Operation(
    gives(Health, text="Healthy.") | gives(Health, 503, text="Degraded, or unhealthy."), "nobody", refuses=(429,)
)

OPERATIONS = {
    "GET /health": _HEALTH,
    "GET /functions/v1/health": _HEALTH,
    "POST /functions/v1/health": _HEALTH,
    "GET /livez": Operation(gives(Liveness, text="Alive."), "nobody"),
    "GET /readyz": Operation(gives(Readiness, text="Ready.") | gives(Readiness, 503, text="Not now."), "nobody"),
    "GET /metrics": Operation({200: Answer("Prometheus' text format.", {"text/plain": TEXT})}, "scheduler"),
    "GET /openapi.json": Operation(gives({"type": "object"}, text="The public API."), "nobody"),
    "GET /reference": Operation({200: Answer("The reference of the public API.", HTML)}, "nobody", refuses=(503,)),
    "GET /openapi/all.json": Operation(gives({"type": "object"}, text="Everything that is served."), "nobody"),
    "GET /asyncapi.json": Operation(gives({"type": "object"}, text="The AsyncAPI document."), "nobody"),
    "GET /problems": Operation({200: Answer("Every code.", {**HTML, JSON: ProblemPages})}, "nobody", refuses=(503,)),
    "GET /problems/{code}": Operation(
        {200: Answer("The code.", {**HTML, JSON: ProblemPage})}, "nobody", refuses=(404, 503)
    ),
    "GET /v1/me": Operation(gives(Me)),
    "GET /": Operation({200: Answer("The console.", HTML)}, "nobody", refuses=(503,)),
    "GET /static/{path}": Operation(
        {200: Answer("The file.", {"*/*": {}}), 304: Answer("As it was.")}, "nobody", refuses=(404,)
    ),
    "GET /service-worker.js": Operation(
        {200: Answer("What keeps the console for when there is no signal.", {"text/javascript": TEXT})}, "nobody"
    ),
    "POST /demo/login": Operation({204: Answer("Signed in.")}, "nobody", refuses=(404,)),
    "GET /dev/mail": Operation({200: Answer("Mails that would have gone out.", HTML)}, "nobody", refuses=(404, 503)),
    "GET /demo/progress": Operation({200: Answer("The page.", HTML)}, "nobody", refuses=(404, 503)),
    "POST /demo/progress/events": Operation(gives(Inserted, 201), takes=takes_json(Insertion)),
}
