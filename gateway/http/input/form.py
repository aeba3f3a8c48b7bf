"""Small HTML forms, checked; the same fields as JSON are taken too."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from gateway.http.body import read_body, read_json
from gateway.http.input.field_errors import explain
from store.errors import InvalidInput, Unprocessable, UnsupportedType

Form = TypeVar("Form", bound=BaseModel)

FORM_BYTES = 24 * 1024  # half of it a drawn signature
_FIELDS = 20


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
