"""`scopekit slo`: whether the runbook's two promises hold at the moment."""

from typing import Any

import typer

from gateway.cli.common import Exit, Json, as_operator, say
from store.ops import health, maintenance
from store.pool import Connection


def slo(*, as_json: Json = False) -> None:
    """Tell whether jobs are done in time and uploads get through; the exit code is 1 when one does not."""
    found = as_operator(_measured, what="The promises were not looked at")
    lines = [
        f"{_word(found['slow'])}: of the last hour's jobs 95 % are done within 60 s",
        f"{_word(found['failing_uploads'])}: no upload of the last hour failed five times",
    ]
    lines += [f"{row['depth']} {row['status']}, the oldest for {row['oldest_seconds']:.0f} s" for row in found["jobs"]]
    say(found, "\n".join(lines), as_json=as_json)
    if not found["kept"]:
        raise typer.Exit(Exit.FAILED)


def _word(missed: int) -> str:
    return "MISSED" if missed else "kept"


async def _measured(conn: Connection) -> dict[str, Any]:
    alerts = dict(await maintenance.slo(conn))
    jobs = [dict(row) for row in await health.queue_depths(conn)]
    return alerts | {"kept": not alerts["slow"] and not alerts["failing_uploads"], "jobs": jobs}
