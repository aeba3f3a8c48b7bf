"""Examples of bodies, made from their schemas: a value that fits, with the words of the trade. Pure."""

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_UUID = "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"
_FORMATS = {
    "uuid": _UUID,
    "date-time": "2026-11-30T09:00:00Z",
    "uri": "https://estimates.example.com/e/9fY2",
    "uri-reference": "/problems/not_found",
    "email": "maria@example.com",
}
# By the name of a property; a word that does not fit its schema is left out.
_WORDS: Mapping[str, Any] = {
    "title": "Kitchen",
    "customer_name": "Maria Lopez",
    "customer": "Maria Lopez",
    "recipient": "Maria Lopez",
    "name": "Maria Lopez",
    "address": "12 Quay Street, Portland",
    "notes": "Replace three GFCI outlets.",
    "external_id": "crm-1042",
    "metadata": {"source": "website"},
    "label": "Panel, left side",
    "description": "GFCI outlet, installed",
    "category": "Electrical",
    "code": "ELE-01",
    "unit": "each",
    "quantity": "3",
    "unit_price": "145.00",
    "amount": "435.00",
    "rate": "0.05",
    "subtotal": "435.00",
    "markup_rate": "0",
    "markup": "0.00",
    "discount": "0.00",
    "tax_rate": "0.0825",
    "tax": "35.89",
    "total": "470.89",
    "currency": "USD",
    "business_name": "Harbor & Pine Builders",
    "phone": "+1 555 0100",
    "email": "office@example.com",
    "license": "CCB 204411",
    "timezone": "America/Los_Angeles",
    "terms": "Half on acceptance.",
    "accent": "#7a2e1d",
    "content_type": "image/jpeg",
    "original_name": "panel.jpg",
    "media_type": "photo",
    "engine": "local",
    "model": "rules",
    "summary": "Three outlets are replaced.",
    "job_type": "estimate",
    "message": "Next in line.",
    "event": "upload_failed",
    "payload": {"attempts": 5},
    "type": "job.completed",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "content_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "fingerprint": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "url": "https://estimates.example.com/e/9fY2kC7h",
    "token": "9fY2kC7hQm3xV5tB8nL1wZ6rD4sJ0pGa2uE6iO1cN7k",
    "next": "WyIyMDI2LTExLTMwIl0",
    "passcode": "4711",
}
_DEPTH = 8


def example_of(schema: Schema, components: Mapping[str, Schema], name: str = "", depth: int = _DEPTH) -> Any:
    """Return a value that fits a schema; optional properties are shown where a word of the trade is known for them."""
    schema = resolved(schema, components)
    for named in (
        *schema.get("examples", ())[:1],
        schema.get("const"),
        schema.get("default"),
        *schema.get("enum", ())[:1],
    ):
        if named is not None:
            return named
    kinds = schema.get("type", ())
    kind = kinds if isinstance(kinds, str) else next((each for each in kinds if each != "null"), None)
    if ways := schema.get("anyOf") or schema.get("oneOf"):
        return _of_ways(ways, components, name, depth)
    if kind == "object":
        return _object(schema, components, name, depth)
    if kind == "array":
        few = [example_of(schema.get("items", {}), components, name, depth - 1)] if depth > 0 else []
        return few * max(1, schema.get("minItems", 0))
    return _scalar(schema, kind, name)


def resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """Return the schema that a reference names."""
    while "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    return schema


def _of_ways(ways: list[Schema], components: Mapping[str, Schema], name: str, depth: int) -> Any:
    told = [each for each in ways if each.get("type") != "null"]
    word = _WORDS.get(name)
    if isinstance(word, str):
        told = [each for each in told if resolved(each, components).get("type") == "string"] or told
    if len(told) < len(ways) and word is None and depth < _DEPTH:
        return None
    return example_of(told[0], components, name, depth)


def _object(schema: Schema, components: Mapping[str, Schema], name: str, depth: int) -> Any:
    properties, required = schema.get("properties"), schema.get("required", ())
    if not properties:
        word = _WORDS.get(name)
        return word if isinstance(word, dict) else {}
    if depth <= 0:
        return {}
    return {
        each: example_of(part, components, each, depth - 1)
        for each, part in properties.items()
        if each in required or each in _WORDS
    }


def _scalar(schema: Schema, kind: str | None, name: str) -> Any:
    if kind == "integer":
        return max(1, schema.get("minimum", 1)) if schema.get("maximum", 1) > 0 else schema["maximum"]
    if kind == "number":
        return max(1.0, schema.get("minimum", 1.0)) if schema.get("maximum", 1) >= 1 else schema["maximum"]
    if kind == "boolean":
        return False
    if kind == "null":
        return None
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    pattern = schema.get("pattern", "")
    words = (_WORDS.get(name), "text", *_WORDS.values())
    return next((word for word in words if isinstance(word, str) and re.search(pattern, word)), "text")
