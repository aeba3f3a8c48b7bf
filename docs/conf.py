"""How Sphinx builds the documents' site: `make site`.

The pages are plain Markdown that reads well in a repository's viewer too. The tree of pages, which only the site needs,
is read from the lists of links in the index pages.
"""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "ScopeKit"
html_title = "ScopeKit"
# The root of the repository is the source, so that links between README and docs hold in both places.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "packages/**README.md"]
exclude_patterns = [".*", "build", "node_modules", "tests", "benchmarks", "test-results"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4  # links to headings are checked as well
nitpicky = True
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

INDEXES = ("docs/index", "docs/decisions/index")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_PAGE = re.compile(r"^- \[[^]]+\]\(([^)#]+)\.md\)", re.MULTILINE)


def add_tree(_app: "Sphinx", page: str, source: list[str]) -> None:
    """Append the tree of pages to an index: a part for each of its sections."""
    if page not in INDEXES:
        return
    text = source[0]
    parts = _SECTION.split(text)
    for caption, listed in zip(["", *parts[1::2]], parts[::2], strict=True):
        pages = [_absolute(page, link) for link in _PAGE.findall(listed)]
        if pages:
            options = [":hidden:", f":caption: {caption}"] if caption else [":hidden:"]
            text += "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])
    source[0] = text


def _absolute(page: str, link: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def setup(app: "Sphinx") -> None:
    """Take part in the build."""
    app.connect("source-read", add_tree)
