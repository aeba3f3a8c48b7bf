"""The public API's document: `/v1` and the runbook's aliases, for people and generators of clients.

It is made of the whole document: pages, operators' routes and health are left out, operations get their names, tags and
examples, and keywords that only a validator of answers needs are taken away.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.openapi.examples import example_of
from gateway.openapi.names import NAMES, TAGS

_JSON = "application/json"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_DESCRIPTION = """\
ScopeKit turns a visit to a site into a priced, evidence-backed estimate.

The main job: `createVisit`, `uploadMedia`, `requestEstimate`, `streamVisitProgress` or `getJob` until it
is done, `getLatestEstimate`, `saveEstimateLines`, `createShare`, `getShare`, `getShareTimeline`, `getShareCertificate`.

Every error is a problem document (RFC 9457) with a stable `code`; `type` leads to its page. Ignore fields, codes and
values that you do not know: they may be added. Lists have pages: send `next` as `after` while `has_more`. A POST takes
an `Idempotency-Key`, an edit `If-Match`.
"""
_HEADERS: Mapping[str, Any] = {
    "CorrelationId": {
        "description": "Stands on every log line of the request; send your own to follow it.",
        "schema": {"type": "string", "maxLength": 128},
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit": {
        "description": "The limit, what is left (`r`) and the seconds until more (`t`), as the draft of IETF has it.",
        "schema": {"type": "string"},
        "example": '"price-book-files";r=0;t=12',
    },
    "RateLimitPolicy": {
        "description": "The limit: its quota (`q`) and the window in seconds (`w`).",
        "schema": {"type": "string"},
        "example": '"price-book-files";q=20;w=200',
    },
    "Challenge": {
        "description": 'RFC 6750: `error="invalid_token"` for a token that does not hold, and why.',
        "schema": {"type": "string"},
    },
}
_OF_REFUSAL: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Challenge"},
    409: {"Retry-After": "RetryAfter"},
    423: {"Retry-After": "RetryAfter"},
    429: {"Retry-After": "RetryAfter", "RateLimit": "RateLimit", "RateLimit-Policy": "RateLimitPolicy"},
    503: {"Retry-After": "RetryAfter"},
}


def public_document(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public part of the whole document, as it is served."""
    document: dict[str, Any] = copy.deepcopy(dict(whole))
    document["info"] |= {
        "title": "ScopeKit API",
        "description": _DESCRIPTION,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "contact": {"name": "The operator of this server"},
    }
    document["servers"] = [{"url": "/", "description": "The server that gave out this document."}]
    document["tags"] = [{"name": name, "description": words} for name, words in TAGS.items()]
    document["paths"] = dict(_paths(document))
    components = document["components"]
    components["headers"] = copy.deepcopy(dict(_HEADERS))
    for response in components["responses"].values():
        _add_headers(response)
    _lighten(document)
    for _, operation in operations_of(document):
        _finish_bodies(operation, components["schemas"])
    _drop_unused(document)
    return document


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("METHOD path", operation) of each operation."""
    for path, methods in document["paths"].items():
        for method in (name for name in _METHODS if name in methods):
            yield f"{method.upper()} {path}", methods[method]


def is_public(path: str) -> bool:
    """Tell whether a path belongs to the public API."""
    return path.startswith("/v1/") or path in ("/functions/v1/sse-progress", "/functions/v1/queue-processor")


def _paths(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the public paths in the order of their names, each operation with its own."""
    places = {address: place for place, address in enumerate(NAMES)}

    def place_of(path: str) -> int:
        return min(places.get(f"{method.upper()} {path}", len(places)) for method in document["paths"][path])

    for path in sorted(filter(is_public, document["paths"]), key=place_of):
        methods = document["paths"][path]
        for method, operation in methods.items():
            name, tag = NAMES.get(f"{method.upper()} {path}", (_made_up(method, path), "Company"))
            summary = operation["summary"]
            operation["description"] = "\n\n".join(filter(None, (summary, operation.get("description"))))
            operation |= {"operationId": name, "tags": [tag], "summary": _spelled(name)}
        yield path, methods


def _made_up(method: str, path: str) -> str:
    parts = (
        path.removeprefix("/v1/").replace("{", "by_").replace("}", "").replace("/", "_").replace("-", "_").split("_")
    )
    return method + "".join(part.title() for part in parts)


def _spelled(name: str) -> str:
    """Write an operation's name as words: `createVisit` is "Create visit"."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words[0].upper() + words[1:]


def _add_headers(response: dict[str, Any]) -> None:
    problem = response["content"].get("application/problem+json", {})
    statuses = {example["value"]["status"] for example in problem.get("examples", {}).values()}
    wanted = {"x-correlation-id": "CorrelationId"}
    for status in statuses:
        wanted |= _OF_REFUSAL.get(status, {})
    response["headers"] = {name: {"$ref": f"#/components/headers/{component}"} for name, component in wanted.items()}


def _lighten(document: dict[str, Any]) -> None:
    """Take away keywords for validators that clients must not have: closed answers, and titles that repeat a name."""
    components = document["components"]
    bodies = [operation.get("requestBody", {}) for _, operation in operations_of(document)]
    sent = _reached(components, _references(bodies))
    for name, schema in components["schemas"].items():
        _without_titles(schema)
        for closed in ("additionalProperties", "unevaluatedProperties"):
            if ("schemas", name) not in sent and schema.get(closed) is False:
                del schema[closed]


def _without_titles(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _without_titles(each)
    if not isinstance(schema, dict):
        return
    for part in schema.get("properties", {}).values():
        if isinstance(part, dict):
            part.pop("title", None)
            _tell_default(part)
    for key, part in schema.items():
        if key not in ("examples", "default", "const", "enum"):
            _without_titles(list(part.values()) if key in ("properties", "$defs") else part)


def _tell_default(part: dict[str, Any]) -> None:
    """Say a default in words: generators of clients make a field that has one required."""
    default = part.pop("default", None)
    if default not in (None, "", {}, []):
        told = part.get("description", "").rstrip()
        part["description"] = f"{told} Default: {str(default).lower()}.".strip()


def _finish_bodies(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    bodies = [operation.get("requestBody", {})]
    bodies += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for body in bodies:
        for kind, content in body.get("content", {}).items():
            if content.get("schema") == {}:
                content["schema"] = {"type": "string", "format": "binary"}
            elif kind == _JSON and "schema" in content:
                content["example"] = example_of(content["schema"], schemas)


def _drop_unused(document: dict[str, Any]) -> None:
    """Leave out components that only pages and operators' routes name."""
    components = document["components"]
    wanted = _reached(components, _references(document["paths"]))
    for kind in ("schemas", "responses", "headers"):
        components[kind] = {name: each for name, each in components[kind].items() if (kind, name) in wanted}
    locks = {name for _, operation in operations_of(document) for lock in operation["security"] for name in lock}
    components["securitySchemes"] = {
        name: each for name, each in components["securitySchemes"].items() if name in locks
    }


def _reached(components: Mapping[str, Any], named: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return these components and all that they name."""
    found = set(named)
    while more := {each for kind, name in found for each in _references(components[kind][name])} - found:
        found |= more
    return found


def _references(part: Any) -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            _, _, kind, name = reference.split("/")
            yield kind, name
        for each in part.values():
            yield from _references(each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)
