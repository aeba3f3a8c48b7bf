"""What the documents promise is what the tree holds."""

import re
import tomllib
from pathlib import Path

import pytest

from docs.generate import pages

ROOT = Path(__file__).parent.parent
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
LOCKS = ("requirements.lock", "requirements-dev.lock", "deploy/requirements.lock")


def test_links_to_files_lead_somewhere() -> None:
    """Every relative link and image of the documents is there."""
    for page in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_every_page_is_in_the_sites_navigation() -> None:
    """The site's tree of pages is the links of the index pages: a page that none of them names is not found."""
    found = set()
    for index in (ROOT / "docs" / "index.md", ROOT / "docs" / "decisions" / "index.md"):
        found |= {
            (index.parent / link).resolve()
            for link in re.findall(r"^- \[[^]]+\]\(([^)#]+)\)", index.read_text(), re.MULTILINE)
        }
    assert {page for page in DOCUMENTS if page.name != "index.md"} <= found


def test_the_make_targets_of_the_readme_exist() -> None:
    """No command of a document is made up."""
    makefile = (ROOT / "Makefile").read_text()
    told = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", told, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_generated_pages_are_those_of_the_code() -> None:
    """`python -m docs.generate` would change nothing: settings, metrics, events, the command line, modules."""
    for page, text in pages().items():
        assert page.read_text(encoding="utf-8") == text, page.name


def test_our_package_names_are_not_depended_on() -> None:
    """`realtime` and `config` are also names on the package index, as is `supabase`, which brings the first."""
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    assert not locked & {"supabase", "realtime", "config", "store", "jobs", "gateway"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address(name: str) -> None:
    """Packages are pinned by version and hash; where they come from is the machine's business."""
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9._-]+==", lock, re.MULTILINE)
    assert len(pinned) <= lock.count("--hash=sha256:")


def test_every_dependency_is_locked() -> None:
    """What pyproject.toml asks for stands in the lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["local"],
        *project["dependency-groups"]["dev"],
        *project["dependency-groups"]["bench"],
    ]
    lock = (ROOT / "requirements-dev.lock").read_text()
    for requirement in wanted:
        name = re.split(r"[\[<>=]", requirement)[0]
        assert re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE), name


def test_every_package_says_what_it_is() -> None:
    """Each package has an `__init__.py` of one docstring and no code."""
    for floor in ("config", "store", "realtime", "jobs", "gateway", "devstack", "tests", "benchmarks"):
        for folder in {path.parent for path in (ROOT / floor).rglob("*.py")}:
            text = (folder / "__init__.py").read_text().strip()
            assert text.startswith('"""'), folder
            assert text.endswith('"""'), folder
