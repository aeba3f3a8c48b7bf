"""The page's live totals are the server's, cent for cent: the same edits reckoned by both."""

import json
import random
import subprocess
from decimal import Decimal
from typing import Any

from store.estimates import money
from store.estimates.estimates import NewEstimate, NewLine
from tests.browser.conftest import require
from tests.product import ROOT

EDITS = 400
_RECKON = """
import { totalsOf } from "./gateway/static/estimate/totals.js";
let text = "";
for await (const chunk of process.stdin) text += chunk;
const edits = JSON.parse(text);
console.log(JSON.stringify(edits.map(({ lines, terms, option }) => totalsOf(lines, terms, option))));
"""


def draw(chance: random.Random) -> dict[str, Any]:
    """Draw lines and terms as somebody types them: with and without decimals, prices and options."""
    lines = [
        {
            "quantity": chance.choice(
                [f"{chance.randint(1, 9_999)}", f"{chance.randint(1, 99)}.{chance.randint(0, 999):03}"]
            ),
            "unit_price": chance.choice(["", f"{chance.randint(0, 9_999)}.{chance.randint(0, 99):02}"]),
            "option": chance.choice(["", "", "Good", "Best"]),
        }
        for _ in range(chance.randint(1, 8))
    ]
    rate = f"0.{chance.randint(0, 99_999):05}"
    discount = chance.choice([{"rate": rate}, {"amount": f"{chance.randint(0, 90_000)}.{chance.randint(0, 99):02}"}])
    terms = {"tax_rate": rate, "markup_rate": f"0.{chance.randint(0, 99_999):05}", "discount": discount}
    return {"lines": lines, "terms": terms, "option": chance.choice(["Good", "Best"])}


def reckoned(edit: dict[str, Any]) -> dict[str, Any]:
    """Reckon an edit as the server does."""
    terms, discount = edit["terms"], edit["terms"]["discount"]
    lines = [
        NewLine(
            "x", Decimal(line["quantity"]), "each", Decimal(line["unit_price"]) if line["unit_price"] else None,
            option=line["option"],
        )
        for line in edit["lines"]
    ]  # fmt: skip
    adjustments = money.Adjustments(
        markup_rate=Decimal(terms["markup_rate"]),
        discount_rate=Decimal(discount["rate"]) if "rate" in discount else None,
        discount_fixed=Decimal(discount.get("amount", 0)),
    )
    ids: Any = None
    new = NewEstimate(ids, ids, "local", "rules", "USD", Decimal(terms["tax_rate"]), lines,
                      adjustments=adjustments, options=("Good", "Best"), chosen_option=edit["option"])  # fmt: skip
    sums = new.sums
    named = {name: f"{getattr(sums, name):f}" for name in ("subtotal", "markup", "discount", "tax", "total")}
    return named | {"unpriced": sums.unpriced_count}


def test_page_and_server_reckon_alike() -> None:
    """Four hundred drawn edits, each sum compared as text."""
    require("node")
    chance = random.Random(11)
    edits = [draw(chance) for _ in range(EDITS)]
    command = ["node", "--input-type=module", "--eval", _RECKON]
    run = subprocess.run(
        command, input=json.dumps(edits), capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    for edit, live in zip(edits, json.loads(run.stdout), strict=True):
        assert live == reckoned(edit), edit
