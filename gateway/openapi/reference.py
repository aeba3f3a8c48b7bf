"""The reference page's content: the public document in the order in which a person reads it. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.openapi.public import operations_of


def reference_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return {info, tags: [{name, description, operations}], schemas: [{name, description, rows}]} for the template."""
    operations = [_operation(address, each, document) for address, each in operations_of(document)]
    tags = [
        {**tag, "operations": [each for each in operations if each["tag"] == tag["name"]]} for tag in document["tags"]
    ]
    schemas = [
        {"name": name, "description": schema.get("description", ""), "rows": list(_rows(schema))}
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    return {"info": document["info"], "tags": tags, "schemas": schemas}


def _operation(address: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    method, _, path = address.partition(" ")
    return {
        "method": method,
        "path": path,
        "name": operation["operationId"],
        "tag": operation["tags"][0],
        "title": operation["summary"],
        "paragraphs": operation["description"].split("\n\n"),
        "parameters": [
            {**each, "kind": _kind(each["schema"])} for each in operation.get("parameters", ()) if "schema" in each
        ],
        "body": list(_contents(operation.get("requestBody", {}))),
        "answers": [
            {"status": status, "description": answer.get("description", ""), "contents": list(_contents(answer))}
            for status, answer in operation["responses"].items()
            if "$ref" not in answer
        ],
        "codes": sorted(_codes(operation, document)),
    }


def _contents(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for kind, content in body.get("content", {}).items():
        example = content.get("example")
        shown = None if example is None else json.dumps(example, indent=2, ensure_ascii=False)
        yield {"media_type": kind, "kind": _kind(content.get("schema", {})), "example": shown}


def _codes(operation: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    """Name the problem codes of an operation's refusals."""
    named = [answer["$ref"].rpartition("/")[2] for answer in operation["responses"].values() if "$ref" in answer]
    refusals = [document["components"]["responses"][name] for name in named]
    return {code for each in refusals for code in each["content"]["application/problem+json"]["examples"]}


def _rows(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    required = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        words = part.get("description", "")
        yield {"name": name, "kind": _kind(part), "required": name in required, "description": words}


def _kind(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return {text, link}: a type in words, and the schema that it leads to."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return {"text": name, "link": name}
    if ways := schema.get("anyOf") or schema.get("oneOf"):
        kinds = [_kind(way) for way in ways]
        text = " or ".join(dict.fromkeys(kind["text"] for kind in kinds))
        return {"text": text, "link": next((kind["link"] for kind in kinds if kind["link"]), "")}
    if "enum" in schema:
        return {"text": " | ".join(map(str, schema["enum"])), "link": ""}
    kinds_of = schema.get("type", "any")
    text = " or ".join(kinds_of) if isinstance(kinds_of, list) else str(schema.get("const", kinds_of))
    if text == "array":
        item = _kind(schema.get("items", {}))
        return {"text": f"list of {item['text']}", "link": item["link"]}
    return {"text": f"{text} ({schema['format']})" if "format" in schema else text, "link": ""}
