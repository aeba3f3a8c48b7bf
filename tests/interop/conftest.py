"""A document to generate from, and what runs by `make interop` alone: it installs many packages of others."""

import os
from pathlib import Path

import httpx
import pytest

from tests.product import Product

HERE = Path(__file__).parent
INSTALL = ("-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check")

collect_ignore = (
    [] if os.environ.get("SCOPEKIT_INTEROP") else ["test_generators.py", "test_llama_cpp.py", "test_speech_base.py"]
)


@pytest.fixture
def document(server: Product, tmp_path: Path) -> Path:
    """Save the document as the running product serves it."""
    file = tmp_path / "openapi.json"
    file.write_bytes(httpx.get(f"{server.url}/openapi.json", timeout=60).raise_for_status().content)
    return file
