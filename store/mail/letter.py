"""A letter: a mail's content, written as text and as HTML. Pure."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from store.documents.colors import STANDARD_ACCENT
from store.mail.smtp import LOGO_ID

_TEMPLATE = Path(__file__).with_name("letter.html")


@dataclass(frozen=True)
class Letterhead:
    """The sender: a company, or the product's own."""

    name: str
    accent: str = STANDARD_ACCENT
    footer: tuple[str, ...] = ()
    has_logo: bool = False


@dataclass(frozen=True)
class Letter:
    """The words of one mail; each paragraph may have several lines.

    `quote` is another person's text. The button leads to `link`; `notes` stand below it in small print.
    """

    subject: str
    paragraphs: tuple[str, ...]
    quote: str = ""
    button: str = ""
    link: str = ""
    notes: tuple[str, ...] = ()


def as_text(letter: Letter, head: Letterhead) -> str:
    """Write a letter as plain text; its link has a line of its own."""
    quote = "\n".join(f"> {line}" for line in letter.quote.splitlines())
    action = f"{letter.button}:\n{letter.link}" if letter.link else ""
    foot = "\n".join(("-- ", head.name, *head.footer))
    return "\n\n".join(part for part in (*letter.paragraphs, quote, action, *letter.notes, foot) if part) + "\n"


def as_html(letter: Letter, head: Letterhead, *, logo: str = f"cid:{LOGO_ID}") -> str:
    """Write a letter as HTML that mail programs show, in light and in dark; `logo` is the address of the picture."""
    return _template().render(letter=letter, head=head, logo=logo)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
