"""What a machine may lack: a skip on a developer's, a failure in CI."""

import os
from typing import NoReturn

import pytest


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test with what to install; in CI nothing may be missing, so fail it."""
    if os.environ.get("SCOPEKIT_CI"):
        pytest.fail(reason)
    pytest.skip(reason)
