"""Each alert has a page that says what it means and what to do, and links to it."""

import re
from pathlib import Path

from jobs.kinds.maintenance import ALERTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/alerts.md"
RULES = ROOT / "deploy/prometheus/alerts.yml"


def test_every_alert_has_its_heading_and_every_heading_its_alert() -> None:
    """Those of Prometheus in the order of their rules, then the checks of the database."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE) == [*alerts, *ALERTS]


def test_every_heading_says_what_it_means_and_what_to_do() -> None:
    """A paragraph, then numbered steps; a link within the page leads somewhere."""
    text = PAGE.read_text()
    names = {name.lower() for name in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    for section in text.split("\n## ")[1:]:
        assert re.match(r"\w+\n\n[A-Z0-9].+\n\n1\. ", section, re.DOTALL), section[:40]
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= names


def test_every_alert_links_to_its_heading() -> None:
    """The annotation `runbook` is the page and the alert's own anchor."""
    found = re.findall(r"- alert: (\w+)\n(?:(?!- alert: ).*\n?)*?\s+runbook: (\S+)", RULES.read_text())
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert found == [(alert, f"docs/how-to/alerts.md#{alert.lower()}") for alert in alerts]
