"""A breaking change: a promise of an earlier API document that a later one no longer makes.

Compares `/v1` of two OpenAPI documents. A client's requests must go on to be understood, and it must find the fields it
reads; additions break nobody. `python -m docs.breaking` keeps today's document as the copy to compare with, and
refuses while it breaks the one that is kept; with `--accept` it does not, which only an unreleased version may need.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "reference" / "openapi.json"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
# Of what is sent, a limit may be wider than it was.
UPPER, LOWER = ("maximum", "maxLength", "maxItems"), ("minimum", "minLength", "minItems")


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the promises of `old` that `new` breaks, a line each."""
    return list(_Comparison(old, new).paths())


@dataclass
class _Comparison:
    old: dict[str, Any]
    new: dict[str, Any]
    seen: set[tuple[str, str, bool]] = field(default_factory=set)

    def paths(self) -> Iterator[str]:
        for path, old in self.old["paths"].items():
            for method in (name for name in METHODS if name in old and path.startswith("/v1/")):
                new = self.new["paths"].get(path, {}).get(method)
                name = f"{method.upper()} {path}"
                if new is None:
                    yield f"{name}: gone"
                else:
                    yield from self.operation(name, old[method], new)

    def operation(self, name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        yield from self.parameters(name, old.get("parameters", []), new.get("parameters", []))
        before, now = old.get("requestBody", {}), new.get("requestBody", {})
        if now.get("required") and not before.get("required"):
            yield f"{name}: a body is required"
        yield from self.content(f"{name}: body", before, now, sent=True)
        for status in (each for each in old["responses"] if each.startswith("2")):
            if status not in new["responses"]:
                yield f"{name}: status {status} is gone"
                continue
            answer, answers = self.both(old["responses"][status], new["responses"][status])
            for header in answer.get("headers", {}).keys() - answers.get("headers", {}).keys():
                yield f"{name}: header {header} is gone"
            yield from self.content(f"{name}: {status}", answer, answers, sent=False)

    def parameters(self, name: str, old: list[Any], new: list[Any]) -> Iterator[str]:
        before = {(each["in"], each["name"]): each for each in old}
        now = {(each["in"], each["name"]): each for each in new}
        for key, each in now.items():
            if each.get("required") and not before.get(key, {}).get("required"):
                yield f"{name}: {key[0]} parameter {key[1]} is required"
        for key, each in before.items():
            if key not in now:
                yield f"{name}: {key[0]} parameter {key[1]} is gone"
            else:
                yield from self.schema(f"{name}: {key[1]}", each["schema"], now[key]["schema"], sent=True)

    def content(self, name: str, old: dict[str, Any], new: dict[str, Any], *, sent: bool) -> Iterator[str]:
        for kind, each in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield f"{name}: {kind} is gone"
            else:
                yield from self.schema(name, each.get("schema", {}), new["content"][kind].get("schema", {}), sent=sent)

    def schema(self, name: str, old: dict[str, Any], new: dict[str, Any], *, sent: bool) -> Iterator[str]:
        if "$ref" in old and "$ref" in new:  # schemas may hold themselves
            pair = (old["$ref"], new["$ref"], sent)
            if pair in self.seen:
                return
            self.seen.add(pair)
        old, new = self.both(old, new)
        before, now = self.types(old, self.old), self.types(new, self.new)
        narrower, wider = (now, before) if sent else (before, now)
        if narrower and wider and not wider <= narrower:
            yield f"{name}: {'no longer takes' if sent else 'may be'} {', '.join(sorted(wider - narrower))}"
        yield from _values(name, old, new) if sent else ()
        yield from self.properties(name, old, new, sent=sent)
        if "items" in old and isinstance(new.get("items"), dict):
            yield from self.schema(f"{name}[]", old["items"], new["items"], sent=sent)
        yield from self.ways(name, old, new, sent=sent)

    def properties(self, name: str, old: dict[str, Any], new: dict[str, Any], *, sent: bool) -> Iterator[str]:
        before, now = old.get("properties", {}), new.get("properties", {})
        required, required_now = set(old.get("required", ())), set(new.get("required", ()))
        yield from (f"{name}.{each}: gone" for each in before.keys() - now.keys())
        if sent:
            yield from (f"{name}.{each}: required" for each in required_now - required)
        else:
            yield from (f"{name}.{each}: no longer always there" for each in (required & now.keys()) - required_now)
        for each in before.keys() & now.keys():
            yield from self.schema(f"{name}.{each}", before[each], now[each], sent=sent)

    def ways(self, name: str, old: dict[str, Any], new: dict[str, Any], *, sent: bool) -> Iterator[str]:
        """Each way that a value could have has to be among those of now."""
        now = _ways(new) or [new]
        for number, way in enumerate(_ways(old)):
            if all(list(_Comparison(self.old, self.new).schema(name, way, each, sent=sent)) for each in now):
                yield f"{name}: way {number + 1} is gone"

    def both(self, old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return _resolved(old, self.old), _resolved(new, self.new)

    def types(self, schema: dict[str, Any], document: dict[str, Any]) -> set[str]:
        """Return the JSON types of a value; none where any may come."""
        told = schema.get("type")
        found = set(told) if isinstance(told, list) else {told} if told else set()
        for way in _ways(schema):
            found |= self.types(_resolved(way, document), document)
        return found | ({"integer"} if "number" in found else set())


def _values(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Compare the limits of requests: values listed, and bounds."""
    if "enum" in new:
        gone = [each for each in old.get("enum", ()) if each not in new["enum"]]
        yield from (f"{name}: no longer takes {each!r}" for each in gone)
    for limits, sign in ((UPPER, 1), (LOWER, -1)):
        for limit in (each for each in limits if each in new):
            if limit not in old or sign * new[limit] < sign * old[limit]:
                yield f"{name}: {limit} is {new[limit]}, was {old.get(limit, 'none')}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{name}: pattern is {new['pattern']}, was {old.get('pattern', 'none')}"


def _ways(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def today() -> dict[str, Any]:
    """Return the document that this code serves."""
    from gateway.app import all_routes  # noqa: PLC0415 - the comparison needs none of it
    from gateway.catalogue import describe_public  # noqa: PLC0415

    document: dict[str, Any] = json.loads(json.dumps(describe_public([*all_routes()])))
    return document


def main(argv: Sequence[str]) -> int:
    """Keep today's document, unless it breaks the kept one."""
    broken = breaks(json.loads(KEPT.read_text()), today())
    if broken and argv != ["--accept"]:
        sys.stderr.write("\n".join(broken) + "\n")
        return 1
    KEPT.write_text(json.dumps(today(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
