"""The OpenAPI 3.1 document, made from the routes themselves: a route that nobody described fails its making."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Mount, Route

from gateway.http.deprecation import Deprecation
from gateway.http.problem_codes import CHECKSUM_MISMATCH, CODES, PAGES, codes_of
from gateway.openapi.operation import UUID_TEXT, Answer, Caller, Content, Operation, Param, header

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_PROBLEM = "application/problem+json"
_LOCKS: Mapping[Caller, list[dict[str, list[str]]]] = {
    "user": [{"token": []}, {"session": []}],
    "watcher": [{"token": []}, {"session": []}, {"ticket": []}],
    "operator": [{"token": []}, {"session": []}],
    "scheduler": [{"internalKey": []}, {"token": []}],
    "reader": [{"reading": []}, {}],
    "nobody": [{}],
}
# A person gets a page unless they ask for JSON; the runbook's words for a stream that is off are plain text.
_ALSO_REFUSED_IN: Mapping[Caller, str] = {
    "reader": "text/html",
    "operator": "text/html",
    "watcher": "text/plain",
}
_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's token, or an API key. It says who is asking; the membership row says what they may do."
        " Where `internalKey` is asked for, the internal queue key.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-scopekit",
        "description": "A browser's session, HttpOnly; a change needs an Origin of our own.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "Opens a stream within 30 s, and resumes it.",
    },
    "internalKey": {"type": "apiKey", "in": "header", "name": "x-internal-key"},
    "reading": {
        "type": "apiKey",
        "in": "cookie",
        "name": "scopekit_share",
        "description": "A customer's reading session, begun by the landing page's own form.",
    },
}


_ETAGS = {"type": "string", "minLength": 1, "maxLength": 1000}
_ETAG_HEADER = {"etag": "Of what is answered, for If-Match and If-None-Match."}
_IF_MATCH = header("If-Match", _ETAGS, "Change it only while its ETag is one of these; `*` is any. Else 412.")
_IF_NONE_MATCH = header("If-None-Match", _ETAGS, "Answer 304 while its ETag is one of these.")
_IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200},
    "The same key, for 24 hours, gives the first answer again; with another request 422, while it is under way 409.",
)


_LIMIT = {
    "RateLimit": "What is left of the limit (`r`), and the seconds until all of it is there again (`t`).",
    "RateLimit-Policy": "The limit: its quota (`q`) and the window in seconds (`w`).",
}


class Undescribed(Exception):
    """A route has no description, or a description no route."""


def _problem_schema() -> dict[str, Any]:
    """Describe a problem document; the members that go with some codes only are optional, and say with which."""
    members: dict[str, Any] = {}
    for code, known in CODES.items():
        for name, schema in known.members.items():
            told = members.setdefault(name, {**schema, "description": schema.get("description", "").strip()})
            told["description"] = f"{told['description']} With `{code}`.".strip()
    return {
        "title": "Problem",
        "description": "A problem document (RFC 9457). `code` and `type` are stable; `title` and `detail` are for"
        " people. New codes and members appear.",
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "correlation_id"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "The address of the code's page."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "pattern": "^[a-z0-9_]+$", "description": f"One of {', '.join(CODES)}."},
            "detail": {"type": "string"},
            "correlation_id": {
                "type": ["string", "null"],
                "description": "Stands on each log line of the request; as in the header x-correlation-id.",
            },
            **members,
        },
    }


def document(
    routes: Iterable[BaseRoute], operations: Mapping[str, Operation], shapes: Iterable[type[BaseModel]] = ()
) -> dict[str, Any]:
    """Describe every method of every route, and these shapes beside those of answers. Raises `Undescribed`."""
    known = {f"{method} {path_of(route)}": route for route in routes for method in methods_of(route)}
    if differing := known.keys() ^ operations.keys():
        raise Undescribed(f"Described or routed, and not both: {', '.join(sorted(differing))}.")
    completed = {name: _completed(operations[name], route, name.split(" ")[0]) for name, route in known.items()}
    schemas, references = _schemas(completed.values(), shapes)
    paths: dict[str, dict[str, Any]] = {}
    for name, route in known.items():
        method, _, path = name.partition(" ")
        described = _Described(completed[name], references)
        paths.setdefault(path, {})[method.lower()] = _words(route, method) | described.as_json(path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ScopeKit",
            "version": "1",
            "description": "Site visits into priced, evidence-backed estimates, with progress to watch live. "
            "Every error is a problem document with a correlation id, which stands on each log line of its request.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _refusals(completed.values()),
            "securitySchemes": _SCHEMES,
        },
    }


def path_of(route: BaseRoute) -> str:
    """Return a route's address as OpenAPI writes it: `{rest:path}` is `{rest}`, a folder of files `/static/{path}`."""
    if isinstance(route, Mount):
        return f"{route.path}/{{path}}"
    assert isinstance(route, Route)  # noqa: S101 - there is nothing else
    return _PARAMETER.sub(r"{\1}", route.path)


def methods_of(route: BaseRoute) -> list[str]:
    """Name a route's methods; HEAD is told only where it does not go without saying, beside GET."""
    if not isinstance(route, Route):
        return ["GET"]
    methods = route.methods or {name.upper() for name in ("get", "post") if hasattr(route.endpoint, name)}
    return sorted(methods - ({"HEAD"} if "GET" in methods else set()))


def handler_of(route: Route, method: str) -> Callable[..., Any]:
    """Return the code that answers a method of a route."""
    whose = route.endpoint
    handler: Callable[..., Any] = getattr(whose, method.lower()) if inspect.isclass(whose) else whose
    return handler


def _completed(operation: Operation, route: BaseRoute, method: str) -> Operation:
    """Add what conditional requests and Idempotency-Key bring: a header each, and their answers."""
    one = operation
    if one.conditional and method == "GET":
        unchanged = Answer("It is as the client has it.", headers=_ETAG_HEADER)
        told = {
            status: replace(answer, headers={**answer.headers, **_ETAG_HEADER})
            for status, answer in one.answers.items()
        }
        one = replace(one, answers={**told, 304: unchanged}, params=(*one.params, _IF_NONE_MATCH))
    elif one.conditional:
        one = replace(one, params=(*one.params, _IF_MATCH), refuses=(*one.refuses, 412))
    if isinstance(route, Route) and getattr(handler_of(route, method), "idempotent", False):
        one = replace(one, params=(*one.params, _IDEMPOTENCY_KEY), refuses=(*one.refuses, 409, 422))
    return one


def _words(route: BaseRoute, method: str) -> dict[str, str]:
    """Describe a method by the docstring of its handler."""
    if not isinstance(route, Route):
        return {"summary": "A file of the pages."}
    summary, _, more = (inspect.getdoc(handler_of(route, method)) or "").partition("\n\n")
    words = {"summary": " ".join(summary.split())}
    return words | ({"description": more} if more else {})


class _Described:
    """One operation on its way into the document."""

    def __init__(self, operation: Operation, references: Mapping[tuple[type[BaseModel], str], Any]) -> None:
        self._operation = operation
        self._references = references

    def as_json(self, path: str) -> dict[str, Any]:
        one = self._operation
        answers = {str(status): self._answer(answer) for status, answer in one.answers.items()}
        refusals = {
            str(status): {"$ref": f"#/components/responses/{_refusal_name(status, one.caller)}"}
            for status in one.refusals
        }
        told: dict[str, Any] = {"security": _LOCKS[one.caller], "responses": answers | refusals}
        if one.deprecated:
            told["deprecated"] = True
        if parameters := [*_in_path(path), *map(_parameter, one.params)]:
            told["parameters"] = parameters
        if one.takes:
            told["requestBody"] = {"required": one.must_take, "content": self._content(one.takes, "validation")}
        return told

    def _answer(self, answer: Answer) -> dict[str, Any]:
        told: dict[str, Any] = {"description": answer.description}
        if answer.content:
            told["content"] = self._content(answer.content, "serialization")
        headers = _texts(answer.headers)
        if self._operation.limited:
            headers |= _texts(_LIMIT, required=False)
        if ending := self._operation.deprecated:
            headers |= _ending(ending)
        if headers:
            told["headers"] = headers
        return told

    def _content(self, content: Content, mode: str) -> dict[str, Any]:
        return {
            kind: {"schema": self._references[one, mode] if isinstance(one, type) else one}
            for kind, one in content.items()
        }


def _ending(deprecation: Deprecation) -> dict[str, Any]:
    """Describe the headers of a deprecated address."""
    words = {
        "Deprecation": f"Since when; use `{deprecation.successor}`.",
        "Sunset": f"It stays until {deprecation.sunset:%Y-%m-%d} at least.",
    }
    return _texts(words)


def _texts(headers: Mapping[str, str], *, required: bool = True) -> dict[str, Any]:
    return {
        name: {"description": meaning, "required": required, "schema": {"type": "string"}}
        for name, meaning in headers.items()
    }


def _schemas(
    operations: Iterable[Operation], shapes: Iterable[type[BaseModel]]
) -> tuple[dict[str, Any], Mapping[tuple[type[BaseModel], str], Any]]:
    """Let pydantic write the schema of every model, each under its own name."""
    beside = [(shape, "serialization") for shape in shapes]
    wanted = dict.fromkeys([*beside, *(pair for one in operations for pair in _models(one))])
    references, definitions = models_json_schema(list(wanted), ref_template=_REF)  # type: ignore[arg-type]
    return {"Problem": _problem_schema(), **definitions["$defs"]}, references  # type: ignore[return-value]


def _models(operation: Operation) -> Iterator[tuple[type[BaseModel], str]]:
    for model in operation.takes.values():
        if isinstance(model, type):
            yield model, "validation"
    for answer in operation.answers.values():
        for model in answer.content.values():
            if isinstance(model, type):
                yield model, "serialization"


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        schema = UUID_TEXT if name.endswith("_id") else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": param.where,
        "required": param.required,
        "description": param.description,
        "schema": param.schema,
    }


def _refusals(operations: Iterable[Operation]) -> dict[str, Any]:
    """Describe each way to refuse once, for whichever operation names it."""
    ways = dict.fromkeys((one.caller, status) for one in operations for status in one.refusals)
    return {_refusal_name(status, caller): _refusal(status, caller) for caller, status in ways}


def _refusal_name(status: int, caller: Caller) -> str:
    suffix = caller.title() if caller in _ALSO_REFUSED_IN else ""
    return re.sub(r"[^A-Za-z]", "", _phrase(status)) + suffix


def _refusal(status: int, caller: Caller) -> dict[str, Any]:
    content: dict[str, Any] = {
        _PROBLEM: {
            "schema": {"$ref": _REF.format(model="Problem")},
            "examples": {code: _example(code) for code in codes_of(status)},
        }
    }
    if caller in _ALSO_REFUSED_IN:
        content[_ALSO_REFUSED_IN[caller]] = {"schema": {"type": "string"}}
    return {"description": _phrase(status), "content": content}


def _phrase(status: int) -> str:
    return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase


def _example(code: str) -> dict[str, Any]:
    known = CODES[code]
    value = {
        "type": PAGES + code,
        "title": known.title,
        "status": known.status,
        "code": code,
        "detail": known.remedy,
        "correlation_id": "0d1c4f1be0f64b0a8f2fd3f0c1f1c0de",
    }
    return {"summary": known.title, "value": value}
