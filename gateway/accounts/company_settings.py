"""A company's settings: its name, currency and tax rate; and the way to its branding and its price book."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.company import company_page, render
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import Trimmed
from gateway.http.input.form import read_form
from gateway.http.input.text import OneLine
from store.people import people
from store.tenants import tenants

PATH = "/company/settings"
PERCENT = Decimal(100)


class SettingsForm(BaseModel):
    """A company's settings; the tax rate in percent."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=200)]
    currency: Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z]{3}$")]
    tax: Annotated[Decimal, Field(ge=0, lt=100, max_digits=5, decimal_places=3)] = Decimal(0)


def _no_days(value: str) -> str | None:
    return value.strip() or None


Days = Annotated[Annotated[int, Field(ge=1, le=60)] | None, BeforeValidator(_no_days)]


class RemindersForm(BaseModel):
    """Days until a customer is reminded; an empty field is never."""

    model_config = ConfigDict(extra="ignore")

    unopened: Days = None
    unanswered: Days = None


async def page(request: Request, principal: Principal) -> Response:
    """Show the settings."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        company = await tenants.current(conn)
        reminders = await tenants.reminders(conn)
    tax = f"{(company['tax_rate'] * PERCENT).normalize():f}"
    return await render(
        request,
        principal,
        "settings.html",
        company=company,
        reminders=reminders,
        tax=tax,
        done=request.query_params.get("done"),
    )


async def change(request: Request, principal: Principal) -> Response:
    """Change them; estimates that were made keep their values."""
    form = await read_form(request, SettingsForm)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await people.change_company(conn, form.name, form.currency, form.tax / PERCENT)
    return RedirectResponse(f"{PATH}?done=saved", 303)


async def change_reminders(request: Request, principal: Principal) -> Response:
    """Change when customers are reminded; reminders queued before are sent."""
    form = await read_form(request, RemindersForm)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await tenants.set_reminders(conn, form.unopened, form.unanswered)
    return RedirectResponse(f"{PATH}?done=saved", 303)


routes: list[BaseRoute] = [
    Route(PATH, company_page(page, min_role="admin")),
    Route(PATH, company_page(change, min_role="admin"), methods=["POST"]),
    Route(f"{PATH}/reminders", company_page(change_reminders, min_role="admin"), methods=["POST"]),
]
