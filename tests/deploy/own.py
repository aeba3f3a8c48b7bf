"""A database of a module's own, where it may turn everything off and no other worker takes its jobs."""

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import pytest

from devstack.stack import Endpoints
from tests.stack import Services, make_services, xdist_worker

if TYPE_CHECKING:
    import asyncpg

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def own_services(stack: Endpoints, request: pytest.FixtureRequest) -> Services:
    """Make it anew; the Redis numbers 0 to 11 are the other suites'."""
    number = xdist_worker(request.config, alone="gw0").removeprefix("gw")
    return asyncio.run(make_services(stack, f"gw{12 + int(number)}"))
