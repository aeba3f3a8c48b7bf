"""A witness to what the gateway answers: each status, header and JSON body has to be as `/openapi.json` says."""

from collections.abc import Iterable
from typing import Any

import jsonschema_rs
import orjson
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.catalogue import describe
from gateway.openapi.document import path_of


class Witness:
    """Compares answers with the document of these routes; `broken` says where they differ."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self.document = describe([*routes])
        self.broken: list[str] = []
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    async def call(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and look at its answer."""
        start: Message = {}
        body = bytearray()

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive, seen)
        finally:
            if start and scope.get("route") is not None:
                headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
                self.judge(scope["method"], path_of(scope["route"]), start["status"], headers, bytes(body))

    def judge(self, method: str, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Note in which way an answer is not as described; an address's other methods are not described."""
        described = self.document["paths"][path]
        operation = described.get(method.lower()) or (described.get("get") if method == "HEAD" else None)
        if operation is None:
            return
        name = f"{method} {path} -> {status}"
        answer = operation["responses"].get(str(status))
        if answer is None:
            self.broken.append(f"{name}: not a described status")
            return
        answer = self._resolved(answer)
        self._judge_headers(name, answer, headers)
        if body:
            self._judge_body(name, answer, headers.get("content-type", ""), body)

    def judge_event(self, path: str, message: dict[str, str]) -> None:
        """Note in which way a message of a stream, by its fields, is not as described."""
        schema = self.document["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
        ways = [way for way in schema.get("oneOf", [schema]) if jsonschema_rs.is_valid(way, message)]
        if len(ways) != 1:
            self.broken.append(f"{path}: {len(ways)} descriptions fit {message}")
        elif (inner := ways[0]["properties"]["data"].get("contentSchema")) is not None:
            validator = self._validator(f"{path} {message.get('event')}", inner)
            wrong = validator.iter_errors(orjson.loads(message["data"]))
            self.broken += [f"{path}: data{error.instance_path}: {error.message}" for error in wrong]

    def _resolved(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in answer:
            return answer
        found: dict[str, Any] = self.document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        return found

    def _judge_headers(self, name: str, answer: dict[str, Any], headers: dict[str, str]) -> None:
        declared = answer.get("headers", {})
        missing = [header for header in declared if declared[header]["required"] and header.lower() not in headers]
        self.broken += [f"{name}: no header {header}" for header in missing]

    def _judge_body(self, name: str, answer: dict[str, Any], content_type: str, body: bytes) -> None:
        kind = content_type.partition(";")[0].strip()
        content = answer.get("content", {})
        if kind not in content and "*/*" not in content:
            self.broken.append(f"{name}: {kind or 'a body without a type'} is not described")
        elif kind.endswith("json"):
            validator = self._validator(f"{name} {kind}", content[kind]["schema"])
            wrong = next(validator.iter_errors(orjson.loads(body)), None)
            if wrong is not None:
                self.broken.append(f"{name}: {wrong.instance_path}: {wrong.message}")

    def _validator(self, name: str, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        if name not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[name]
