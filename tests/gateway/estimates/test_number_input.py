"""Number input: the page and the server read what people type alike, and refuse the rest in the same words."""

import json
import subprocess
from decimal import Decimal
from typing import Any

import pytest

from store.estimates import number_input
from tests.browser.conftest import require
from tests.product import ROOT

CASES: list[dict[str, str]] = json.loads((ROOT / "tests/gateway/estimates/number_input.json").read_text())
_READ = """
import { readNumber, symbolOf } from "./gateway/static/shared/number-input.js";
let text = "";
for await (const chunk of process.stdin) text += chunk;
const read = JSON.parse(text).map(({ kind, typed, currency }) => readNumber(typed, kind, symbolOf(currency ?? "USD")));
console.log(JSON.stringify(read));
"""


def expected(case: dict[str, str]) -> dict[str, str]:
    """What must come of a case: its value or its error."""
    return {name: case[name] for name in ("value", "error") if name in case}


def on_the_page(cases: list[dict[str, str]]) -> list[dict[str, str]]:
    """Read cases with the page's own module."""
    require("node")
    command = ["node", "--input-type=module", "--eval", _READ]
    run = subprocess.run(
        command, input=json.dumps(cases), capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    read: list[dict[str, str]] = json.loads(run.stdout)
    return read


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}-{case['typed'][:20]!r}")
def test_server_reads_every_case_of_the_table(case: dict[str, Any]) -> None:
    """The exact value, or the sentence for the person who typed it."""
    kind = getattr(number_input, case["kind"].upper())
    if "error" not in case:
        assert kind.read(case["typed"]) == Decimal(case["value"])
        return
    with pytest.raises(ValueError, match="Enter") as refused:
        kind.read(case["typed"])
    assert str(refused.value) == case["error"]


def test_page_reads_every_case_of_the_table() -> None:
    """Value for value and word for word what the server reads."""
    for case, read in zip(CASES, on_the_page(CASES), strict=True):
        assert read == expected(case), case


def test_page_takes_the_symbol_of_the_estimates_currency_alone() -> None:
    """A dollar sign in an estimate in euros would be another amount."""
    cases = [
        {"kind": "money", "typed": "€5", "currency": "EUR"},
        {"kind": "money", "typed": "5 €", "currency": "EUR"},
        {"kind": "money", "typed": "$5", "currency": "EUR"},
        {"kind": "money", "typed": "$5", "currency": "CAD"},
    ]
    assert [read.get("value") for read in on_the_page(cases)] == ["5.00", "5.00", None, "5.00"]


@pytest.mark.parametrize(
    ("typed", "share"), [("0.0825", "0.0825"), ("8.25%", "0.0825"), ("8 1/4 %", "0.0825"), ("0", "0"), ("0%", "0")]
)
def test_api_takes_a_share_or_a_percentage(typed: str, share: str) -> None:
    """The percent sign says which it is."""
    assert number_input.read_share(typed) == Decimal(share)


@pytest.mark.parametrize("typed", ["", "%", "-1%", "8,25%", "1e-2", "NaN", "0.082525", "$1"])
def test_api_refuses_a_share_it_cannot_read(typed: str) -> None:
    """Nothing becomes 0."""
    with pytest.raises(ValueError, match="Enter"):
        number_input.read_share(typed)
