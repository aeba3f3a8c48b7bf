"""A customer's input: a small form or the same as JSON."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator
from starlette.requests import Request

from gateway.documents.signature import MAX_LENGTH, PATTERN, require_signature
from gateway.http.body import read_body, read_json
from gateway.http.field_errors import explain
from gateway.http.text import OneLine
from gateway.shares.link_secrets import SECRET_LENGTH
from store.errors import InvalidInput, Unprocessable, UnsupportedType
from store.shares.shares import Said

Form = TypeVar("Form", bound=BaseModel)

FORM_BYTES = 24 * 1024  # half of it a drawn signature
_FIELDS = 20

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class OpenForm(BaseModel):
    """Opening: a passcode where one is asked for, and the page's own secret, the same for a second click."""

    model_config = ConfigDict(extra="ignore")

    passcode: Annotated[str, StringConstraints(max_length=64)] = ""
    once: Annotated[str, StringConstraints(pattern=rf"^(|[A-Za-z0-9_-]{{{SECRET_LENGTH}}})$")] = ""


class DecisionForm(BaseModel):
    """A decision: accepting needs a name, asking for changes needs to say which."""

    model_config = ConfigDict(extra="ignore")

    decision: Literal["accepted", "declined", "changes_requested"]
    content_hash: Sha256
    terms_hash: Sha256
    name: Annotated[OneLine, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    message: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    signature: Annotated[str, StringConstraints(max_length=MAX_LENGTH, pattern=PATTERN)] = ""

    @property
    def said(self) -> Said:
        """The recorded part of it."""
        return Said(**self.model_dump())

    @model_validator(mode="after")
    def _complete(self) -> "DecisionForm":
        if self.decision == "accepted" and not self.name:
            raise ValueError("Enter your name to accept the estimate.")
        if self.signature:
            require_signature(self.signature)
        if self.decision == "changes_requested" and not self.message:
            raise ValueError("Tell us what should change.")
        return self


async def read_form(request: Request, model: type[Form]) -> Form:
    """Read a form, or JSON, as `model`.

    Raises `UnsupportedType`, `TooLarge`, `InvalidInput` for unreadable input and `Unprocessable` for values that
    do not fit.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return await read_json(request, model, limit=FORM_BYTES)
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise UnsupportedType("Please send the form as it is on the page.")
    body = await read_body(request, limit=FORM_BYTES)
    try:
        return model.model_validate(_fields(body))
    except ValidationError as error:
        raise Unprocessable(_sentence(explain(error)[0])) from None


def _fields(body: bytes) -> dict[str, str]:
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"))
    except ValueError:
        raise InvalidInput("The form could not be read; please go back and try again.") from None
    if any("\0" in value for value in fields.values()):
        raise InvalidInput("The form holds a character that cannot be stored.")
    # A text field sends its line ends as CR LF; we keep LF.
    return {name: value.replace("\r\n", "\n") for name, value in fields.items()}


def _sentence(error: Mapping[str, str]) -> str:
    field, message = error["field"], error["message"]
    return f"{field.replace('_', ' ').capitalize()}: {message}" if field else message
