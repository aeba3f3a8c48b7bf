"""The public document: what people and generators of clients read."""

import builtins
from typing import Any

import httpx
import jsonschema_rs
import pytest

from gateway.app import all_routes
from gateway.catalogue import describe_public
from gateway.openapi.names import NAMES, TAGS
from gateway.openapi.public import is_public, operations_of

# Names that a generated client of JavaScript or Python would hide or break.
RESERVED = {
    *dir(builtins),
    "Promise",
    "Event",
    "Error",
    "Map",
    "Set",
    "Date",
    "Symbol",
    "Object",
    "Array",
    "File",
    "Blob",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Make it once."""
    return describe_public(all_routes())


def test_every_public_operation_has_a_name_a_tag_and_words(document: dict[str, Any]) -> None:
    """A new route gets its name in `gateway/openapi/names.py`; names are unique, and Visits come first."""
    operations = dict(operations_of(document))
    assert operations.keys() == NAMES.keys()
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert next(iter(operations)).endswith("/v1/visits")
    for address, operation in operations.items():
        assert set(operation["tags"]) <= TAGS.keys(), address
        assert operation["description"], address
        assert operation["summary"], address


def test_pages_operators_and_health_stand_apart(document: dict[str, Any]) -> None:
    """And so does what only they use."""
    assert all(is_public(path) for path in document["paths"])
    assert not {"Health", "DoneToEach", "OpenForm"} & document["components"]["schemas"].keys()
    assert document["servers"]
    assert document["info"]["license"]["name"] == "Apache-2.0"


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    """Every JSON body that is sent or answered has one, and it is as it says."""
    count = 0
    for address, operation in operations_of(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (body.get("content", {}).get("application/json") for body in bodies if "$ref" not in body):
            if content is not None:
                schema = {**content["schema"], "components": document["components"]}
                validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
                assert [error.message for error in validator.iter_errors(content["example"])] == [], address
                count += 1
    assert count > 50


def test_an_answer_may_have_fields_that_are_not_described(document: dict[str, Any]) -> None:
    """A client must go on when a field is added: what is answered is open, what is sent is closed."""
    schemas = document["components"]["schemas"]
    assert "additionalProperties" not in schemas["Visit"]
    assert "additionalProperties" not in schemas["Estimate"]
    assert schemas["VisitFields"]["additionalProperties"] is False


def test_no_schema_is_named_like_something_of_a_language(document: dict[str, Any]) -> None:
    """A generated client has a type for each."""
    assert not RESERVED & document["components"]["schemas"].keys()
    assert all(name.isidentifier() and "__" not in name for name in document["components"]["schemas"])


async def test_the_public_document_is_served(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    """As it is described here, without a login."""
    assert (await client.get("/openapi.json")).json()["paths"].keys() == document["paths"].keys()
