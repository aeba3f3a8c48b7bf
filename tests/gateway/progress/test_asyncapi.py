"""`/asyncapi.json`: every message with its schema and an example, and nothing that leads nowhere."""

import re
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from gateway.progress.asyncapi import asyncapi_document
from gateway.progress.event_types import EVENTS, MESSAGES, StepName, envelope
from jobs.kinds.estimate.steps.steps import Step
from realtime.protocol.events import EndReason
from store.webhooks.catalogue import CATALOGUE
from tests.support.event_contract import example_of, violations

ROOT = Path(__file__).parent.parent.parent.parent
SAYS_TYPE = re.compile(r"""['"]((?:job|step|line|media|share)\.[a-z_]+)['"]""")


async def test_the_document_is_served(client: httpx.AsyncClient) -> None:
    """It needs no login, and a page of another origin may read it."""
    answer = await client.get("/asyncapi.json", headers={"origin": "https://app.example.test"})
    assert answer.json() == asyncapi_document()
    assert answer.headers["access-control-allow-origin"] == "https://app.example.test"


def test_every_reference_leads_somewhere() -> None:
    """Channels, operations, messages and schemas."""
    document = asyncapi_document()
    references = list(_references(document))
    assert len(references) > 50
    for reference in references:
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found, reference


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


def test_every_example_is_as_described() -> None:
    """Each message has one; a field that nobody described is found."""
    messages = asyncapi_document()["components"]["messages"]
    for name, message in messages.items():
        for example in message["examples"]:
            assert violations(name, example["payload"]) == []
    wrong = envelope("step.started", {**EVENTS["step.started"].example, "more": 1})
    assert len(violations("step.started", wrong)) == 1
    assert violations("job.dreamed", {}) == ["job.dreamed: this type is described nowhere"]
    assert example_of("a.b") is None


@pytest.mark.parametrize("folder", ["gateway", "jobs", "store"])
def test_every_type_that_the_code_names_is_described(folder: str) -> None:
    """In Python and in SQL."""
    files = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.sql")]
    named = {name for file in files for name in SAYS_TYPE.findall(file.read_text())}
    assert named - MESSAGES.keys() - NOT_EVENTS == set()


# Names of the same form: commands in the operators' record, and events that webhooks alone carry.
NOT_EVENTS = {"share.revoke", *(CATALOGUE.keys() - MESSAGES.keys())}


def test_steps_and_reasons_are_those_of_the_code() -> None:
    """The document's lists are the code's own."""
    assert list(get_args(StepName)) == [step.value for step in Step]
    reasons = asyncapi_document()["components"]["schemas"]["End"]["properties"]["reason"]["enum"]
    assert set(reasons) == set(get_args(EndReason))
