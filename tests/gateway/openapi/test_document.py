"""The document: every route is in it, in the words and by the models of its own code."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.app import all_routes
from gateway.catalogue import OPERATIONS, describe
from gateway.openapi.document import Undescribed, handler_of, methods_of, path_of
from tests.support.contract import Witness


async def _nobody_described(_request: Request) -> Response:
    return Response()


def test_a_route_that_nobody_described_is_found_out() -> None:
    """And so is a description whose route is gone: the document cannot be made of either."""
    routes = all_routes()
    with pytest.raises(Undescribed, match="GET /v1/forgotten"):
        describe([*routes, Route("/v1/forgotten", _nobody_described)])
    gone = [route for route in routes if path_of(route) != "/v1/me"]
    with pytest.raises(Undescribed, match="GET /v1/me"):
        describe(gone)


async def test_the_document_is_served(client: httpx.AsyncClient) -> None:
    """It is OpenAPI 3.1, needs no login, and names who may call what."""
    document = (await client.get("/openapi/all.json")).json()
    assert document["openapi"] == "3.1.0"
    assert document["paths"]["/v1/visits"]["post"]["security"] == [{"token": []}, {"session": []}]
    assert document["paths"]["/livez"]["get"]["security"] == [{}]
    assert document["paths"]["/sign-in"]["get"]["security"] == [{}], "who signs in has no session yet"
    assert set(document["components"]["securitySchemes"]) >= {"token", "session", "ticket", "internalKey"}


def test_every_operation_says_what_it_does_and_refuses_with_problems() -> None:
    """Each has a summary, an answer, and refusals as problem documents."""
    document = describe(all_routes())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            assert operation["summary"], name
            assert "400" in operation["responses"], name
    for name, answer in document["components"]["responses"].items():
        assert "application/problem+json" in answer["content"], name


def test_a_described_body_is_the_model_its_handler_reads() -> None:
    """The code that takes a body names the model the document shows, and the other way round."""
    for route in (route for route in all_routes() if isinstance(route, Route)):
        for method in methods_of(route):
            described = OPERATIONS[f"{method} {path_of(route)}"].takes.values()
            models = {model.__name__ for model in described if isinstance(model, type)}
            assert _models_read(handler_of(route, method)) == models, f"{method} {route.path}"


def _models_read(handler: Callable[..., Any]) -> set[str]:
    """Name what the handler reads, or a helper of its module that it hands the request to."""
    module, source = inspect.getmodule(handler), inspect.getsource(handler)
    helpers = [getattr(module, name, None) for name in re.findall(r"\b(_\w+)\(request", source)]
    sources = [source, *(inspect.getsource(helper) for helper in helpers if inspect.isfunction(helper))]
    found = set(re.findall(r"\(request, ([A-Z]\w+)", "".join(sources)))
    return {name for name in found if not name.endswith("Response") and not name.isupper()}


def test_the_witness_sees_what_is_not_as_described() -> None:
    """Another status, a missing header, another type and a field too many are each found."""
    witness = Witness(all_routes())
    problem = {"content-type": "application/problem+json"}
    witness.judge("GET", "/livez", 200, {"content-type": "application/json"}, b'{"status":"ok"}')
    witness.judge("HEAD", "/livez", 200, {"content-type": "application/json"}, b"")
    assert witness.broken == []
    witness.judge("GET", "/livez", 418, {}, b"")
    witness.judge("POST", "/v1/visits", 201, {}, b"")
    witness.judge("GET", "/livez", 200, {"content-type": "text/plain"}, b"ok")
    witness.judge("GET", "/livez", 200, {"content-type": "application/json"}, b'{"status":"ok","more":1}')
    witness.judge("GET", "/v1/me", 401, problem, b'{"detail":"no"}')
    assert len(witness.broken) == 5


def test_the_witness_sees_messages_that_are_not_as_described() -> None:
    """Of a stream: another name, another field, a section there is not."""
    witness = Witness(all_routes())
    for message in ({"data": '["dead","speed"]'}, {"data": "[]"}, {"event": "away", "data": "{}"}):
        witness.judge_event("/ops/live", message)
    assert witness.broken == []
    wrong = ({"event": "gone", "data": "{}"}, {"id": "1", "data": "[]"}, {"data": '["weather"]'}, {"data": "{}"})
    for message in wrong:
        witness.judge_event("/ops/live", message)
    assert len(witness.broken) == len(wrong)
