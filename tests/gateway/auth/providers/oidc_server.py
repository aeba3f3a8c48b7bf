"""A certified OpenID Connect provider from npm, and a browser that signs in there."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx

from tests.product import end, free_port

SOURCE = Path(__file__).parent / "oidc"
SECRET = "the-secret-of-the-only-client"
START_SECONDS = 30.0


@contextmanager
def oidc_server(directory: Path, redirect_uri: str) -> Iterator[str]:
    """Run the provider, whose packages are installed in `directory`, until the block is left; its issuer."""
    port = free_port()
    running = subprocess.Popen(
        ["node", "provider.mjs", str(port), redirect_uri, SECRET], cwd=directory, stdout=subprocess.PIPE
    )
    try:
        assert running.stdout is not None
        assert any(b"listening" in line for line in running.stdout)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(running)
        assert running.stdout is not None
        running.stdout.close()


def sign_in_there(url: str, login: str, *, allow: bool = True) -> str:
    """Follow the provider's pages as this person does; the address that it sends the browser back to."""
    own = httpx.URL(url)
    with httpx.Client(timeout=30, trust_env=False) as browser:
        page = browser.get(url)
        for _step in range(12):
            while page.has_redirect_location:
                url = urljoin(str(page.url), page.headers["location"])
                if httpx.URL(url).netloc != own.netloc:
                    return url
                page = browser.get(url)
            assert page.status_code == 200, page.text
            if not allow:
                (abort,) = re.findall(r'href="([^"]*/abort)"', page.text)
                page = browser.get(urljoin(str(page.url), abort))
                continue
            (action,) = re.findall(r'action="([^"]+)"', page.text)
            (prompt,) = re.findall(r'name="prompt" value="(\w+)"', page.text)
            given = {"prompt": prompt} | ({"login": login, "password": "any"} if prompt == "login" else {})
            page = browser.post(urljoin(str(page.url), action), data=given)
    raise AssertionError("The provider does not come to an end.")
