"""One method of one route, as the document describes it: its callers, its input, its answers and refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from gateway.http.deprecation import Deprecation

Schema: TypeAlias = Mapping[str, Any]
Content: TypeAlias = Mapping[str, "type[BaseModel] | Schema"]

# Who may call: a signed-in user, a user or the holder of a ticket, an operator of the whole product, the holder of the
# internal key, the holder of a link, or anybody.
Caller = Literal["user", "watcher", "operator", "scheduler", "reader", "nobody"]

JSON = "application/json"
TEXT: Schema = {"type": "string"}
BYTES: Schema = {}  # OpenAPI 3.1: a body that is no text is described by its media type alone
UUID_TEXT: Schema = {"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}

# What may happen at any address: a request that is none, a URL or headers too long, a body that stops coming.
EVERYWHERE = frozenset({400, 408, 414, 431})
_BODY = frozenset({413, 415})
_OF_CALLER: Mapping[Caller, frozenset[int]] = {
    "user": frozenset({401, 403, 404, 429, 503}),
    "watcher": frozenset({401, 403, 404, 429, 503}),
    "operator": frozenset({401, 403, 404, 503}),
    "scheduler": frozenset({401, 503}),
    "reader": frozenset({404, 410, 429, 503}),
    "nobody": frozenset(),
}


class Shape(BaseModel):
    """The content of an answer: these fields and no others, each always there."""

    model_config = ConfigDict(extra="forbid")


class PageOf(Shape):
    """A page of a list: `next` is the `after` of the next page, null on the last one."""

    has_more: bool
    next: str | None


@dataclass(frozen=True)
class Param:
    """One value in the query or in a header."""

    name: str
    schema: Schema
    description: str
    where: Literal["query", "header"] = "query"
    required: bool = False


@dataclass(frozen=True)
class Answer:
    """The answer on success; without content, nothing but the status and these headers."""

    description: str
    content: Content = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """A described method; `refuses` are statuses beside those that follow from the caller and the body.

    The answers of a `limited` one say what is left of a limit of rate.
    """

    answers: Mapping[int, Answer]
    caller: Caller = "user"
    takes: Content = field(default_factory=dict)
    must_take: bool = False
    params: tuple[Param, ...] = ()
    refuses: tuple[int, ...] = ()
    conditional: bool = False
    limited: bool = False
    deprecated: Deprecation | None = None

    @property
    def refusals(self) -> list[int]:
        """Every status but those that are answers."""
        of_body = _BODY if self.takes else frozenset()
        of_fields = {422} if any(isinstance(taken, type) for taken in self.takes.values()) else set()
        every = EVERYWHERE | _OF_CALLER[self.caller] | of_body | of_fields | set(self.refuses)
        return sorted(every - self.answers.keys())


def gives(
    shape: "type[BaseModel] | Schema", status: int = 200, text: str = "Done.", headers: Mapping[str, str] | None = None
) -> dict[int, Answer]:
    """Answer with JSON of this shape."""
    return {status: Answer(text, {JSON: shape}, headers or {})}


def takes_json(model: type[BaseModel]) -> Content:
    """Take a JSON body of this model."""
    return {JSON: model}


def header(name: str, schema: Schema, description: str, *, required: bool = False) -> Param:
    """Describe a header of the request."""
    return Param(name, schema, description, "header", required)


def paged(most: int = 200, *more: Param) -> tuple[Param, ...]:
    """Describe the parameters of a list: these filters, and its pages."""
    return (
        *more,
        Param("limit", whole_number(1, most), "How many at most."),
        Param("after", {"type": "string", "maxLength": 1024}, "The `next` of the page before."),
    )


def whole_number(low: int, high: int) -> Schema:
    """Describe a whole number within bounds."""
    return {"type": "integer", "minimum": low, "maximum": high}
