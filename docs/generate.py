"""Writes the generated pages of the reference: `python -m docs.generate`. A test holds them to the code."""

import re
from pathlib import Path

from docs.generators.command_line import command_line_page
from docs.generators.event_types import asyncapi_text, event_types_page
from docs.generators.metrics import metrics_page
from docs.generators.modules import modules_page
from docs.generators.settings import HEAD, settings_table
from docs.generators.typed_events import python, typescript
from docs.generators.webhook_events import webhook_events_page, webhook_events_schemas

REFERENCE = Path(__file__).parent / "reference"
PACKAGES = Path(__file__).parent.parent / "packages"
_SETTINGS = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def pages() -> dict[Path, str]:
    """Return the text that each generated page should have."""
    return {
        PACKAGES / "progress" / "events.d.ts": typescript(),
        PACKAGES / "progress-python" / "scopekit_progress" / "events.py": python(),
        REFERENCE / "modules.md": modules_page(),
        REFERENCE / "command-line.md": command_line_page(),
        REFERENCE / "metrics.md": metrics_page(),
        REFERENCE / "event-types.md": event_types_page(),
        REFERENCE / "webhook-events.md": webhook_events_page(),
        REFERENCE / "webhook-events.json": webhook_events_schemas(),
        REFERENCE / "asyncapi.json": asyncapi_text(),
        REFERENCE / "configuration.md": _configuration_page(),
    }


def _configuration_page() -> str:
    """Return the page as it is, with its table as it should be."""
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    return _SETTINGS.sub(lambda _: settings_table(), text)


def main() -> None:
    """Write every generated page."""
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
