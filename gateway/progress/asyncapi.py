"""The AsyncAPI 3 document: the streams, and every message on them. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from gateway.openapi.operation import UUID_TEXT
from gateway.progress.event_types import CONTROLS, MESSAGES, SHAPES, EventType, envelope

_REF = "#/components/schemas/{model}"
_CHANNELS: Mapping[str, tuple[str, str]] = {
    "visitProgress": ("/v1/visits/{visit_id}/progress", "What happens at a visit."),
    "visitsProgress": ("/v1/progress", "What happens at up to fifty visits, each named as `visit_id` in the query."),
    "tenantProgress": ("/v1/tenant/progress", "What happens at every visit of a company, for its owners and admins."),
}
_STREAM = (
    "Server-sent events over GET. Events of a visit are unnamed messages, and their `id` is their `seq`. The others"
    " have the name that stands here. Clients ignore types and members that they do not know."
)


def asyncapi_document() -> dict[str, Any]:
    """Describe every stream and every message."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "ScopeKit event streams", "version": "1", "description": _STREAM},
        "defaultContentType": "application/json",
        "channels": {name: _channel(*channel) for name, channel in _CHANNELS.items()},
        "operations": {
            f"send.{name}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
            }
            for name in _CHANNELS
        },
        "components": {
            "messages": {
                **{name: _event_message(name, each) for name, each in MESSAGES.items()},
                **{name: _control_message(name, each) for name, each in CONTROLS.items()},
            },
            "schemas": _payloads() | {name: _event_schema(name, each) for name, each in MESSAGES.items()},
        },
    }


def _payloads() -> dict[str, Any]:
    _, definitions = models_json_schema([(shape, "serialization") for shape in SHAPES], ref_template=_REF)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _channel(address: str, description: str) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*CONTROLS, *MESSAGES)},
    }
    if "{visit_id}" in address:
        channel["parameters"] = {"visit_id": {"description": "The visit's id, a UUID."}}
    return channel


def _event_message(name: str, each: EventType) -> dict[str, Any]:
    return {
        "name": name,
        "summary": each.when,
        "payload": {"$ref": _REF.format(model=name)},
        "examples": [{"payload": envelope(name, each.example)}],
    }


def _control_message(name: str, each: EventType) -> dict[str, Any]:
    return {
        "name": name,
        "summary": each.when,
        "payload": {"$ref": _REF.format(model=each.shape.__name__)},
        "examples": [{"payload": dict(each.example)}],
    }


def _event_schema(name: str, each: EventType) -> dict[str, Any]:
    """Describe a whole message of one type."""
    return {
        "type": "object",
        "description": each.when,
        "required": ["visit_id", "seq", "job_id", "type", "payload", "created_at"],
        "properties": {
            "visit_id": UUID_TEXT,
            "seq": {"type": "integer", "minimum": 0, "description": "Increases from one event to the next; may leap."},
            "job_id": {"anyOf": [UUID_TEXT, {"type": "null"}]},
            "type": {"const": name},
            "background": {"const": True, "description": "Absent unless it is of a job beside the estimate."},
            "ends_stream": {"const": True, "description": "Absent unless the visit's stream ends with it."},
            "payload": {"$ref": _REF.format(model=each.shape.__name__)},
            "created_at": {"type": "string", "format": "date-time"},
        },
    }
