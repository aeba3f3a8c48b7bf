"""A run as the page reckons it from its events, in the page's own code."""

import json
import subprocess
from typing import Any

import pytest

from tests.browser.conftest import require
from tests.product import ROOT

_ADVANCE = """
import { advance, runOf } from "./gateway/static/console/run-state.js";
let text = "";
for await (const chunk of process.stdin) text += chunk;
console.log(JSON.stringify(JSON.parse(text).reduce(advance, runOf({ id: "j", status: "queued" }))));
"""
_LINE = {"description": "Replace outlet", "quantity": "1", "unit": "each"}
_DRAFTING: list[tuple[str, dict[str, Any]]] = [
    ("job.started", {"attempt": 1}),
    ("step.started", {"step": "draft"}),
    ("line.drafted", _LINE),
]
_OVER: tuple[str, dict[str, Any]] = ("step.completed", {"step": "draft", "ms": 5})


def run_after(*events: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Let the page take the events of one job."""
    told = [{"job_id": "j", "type": kind, "payload": payload, "created_at": "2026-01-01"} for kind, payload in events]
    command = ["node", "--input-type=module", "--eval", _ADVANCE]
    run = subprocess.run(
        command, input=json.dumps(told), capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    after: dict[str, Any] = json.loads(run.stdout)
    return after


@pytest.mark.parametrize(
    "end",
    [
        ("job.retrying", {"error": "x", "attempt": 1, "run_at": "2026-01-01"}),
        ("job.released", {}),
        ("job.failed", {"error": "x", "code": "y"}),
    ],
)
def test_the_lines_of_a_draft_that_broke_off_are_gone(end: tuple[str, dict[str, Any]]) -> None:
    """It was thrown away; one that was whole is kept, and so are its lines."""
    require("node")
    assert run_after(*_DRAFTING)["lines"] == [_LINE]
    assert run_after(*_DRAFTING, end)["lines"] == []
    assert run_after(*_DRAFTING, _OVER, end)["lines"] == [_LINE]


def test_of_a_cancelled_run_no_line_is_left() -> None:
    """Its checkpoints are dropped, those of a whole draft too: what was shown will not be in any estimate."""
    require("node")
    for drafted in ((), (_OVER,)):
        run = run_after(*_DRAFTING, *drafted, ("job.cancelled", {}))
        assert (run["status"], run["lines"]) == ("cancelled", [])
