"""Who is at work: each process tells of itself, under a name that may have been another's."""

from typing import TYPE_CHECKING

from store.ops.presence import Presence, process_name
from store.pool import Database

if TYPE_CHECKING:
    from datetime import datetime

    from tests.deploy.own import Admin


async def test_a_process_under_a_crashed_ones_name_began_when_it_began(admin: "Admin", service: Database) -> None:
    """In a container everybody is process 1 of the same host: the row that was left is not ours."""
    name = process_name()
    await admin.execute(
        "INSERT INTO processes (name, kind, started_at) VALUES ($1, 'worker', now() - interval '1 hour')", name
    )
    presence = Presence(service, "worker", dict, {})
    began: list[datetime] = []
    for _ in range(2):
        await presence.report()
        began.append(await admin.fetchval("SELECT started_at FROM processes WHERE name = $1", name))
    is_new = await admin.fetchval("SELECT $1::timestamptz > now() - interval '30 min'", began[0])
    await admin.execute("DELETE FROM processes WHERE name = $1", name)
    assert is_new
    assert began[0] == began[1]
