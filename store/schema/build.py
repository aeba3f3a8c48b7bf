"""The baseline migration: the schema's files by area, one after the other.

The files beside this module are the schema to read and to edit. `python -m store.schema.build` writes the baseline from
them, as long as no database that must be kept has it: until a later migration is there. From then on a change of the
schema is made twice, in its file and as a migration, and a test compares the two.
"""

import sys
from pathlib import Path

from store.schema.migrate import DIRECTORY, migrations

SCHEMA = Path(__file__).parent
BASELINE = DIRECTORY / "0001_baseline.sql"
# In this order: what an area needs stands before it.
AREAS = (
    *("access/roles", "access/users", "access/tenancy", "access/flags", "visits/visits", "visits/media"),
    *("estimates/prices", "estimates/estimates", "events/events", "events/event_bus"),
    *("queue/queue", "queue/queue_claims", "queue/queue_moves", "queue/dead_letters", "estimates/shares"),
    "estimates/questions",
    *(
        "ops/analytics",
        "ops/ops",
        "queue/stalls",
        "access/sessions",
        "estimates/mails",
        "ops/alerts",
        "access/limits",
        "access/idempotency",
    ),
    *("events/changes", "events/webhooks", "visits/bin", "access/grants", "ops/monitoring"),
)
_HEAD = "-- The whole schema. Made of store/schema/*/*.sql by `python -m store.schema.build`: edit those.\n"


def schema_sql() -> str:
    """Return the SQL that makes the whole schema in an empty database."""
    parts = [(SCHEMA / f"{area}.sql").read_text(encoding="utf-8") for area in AREAS]
    return "\n".join([_HEAD, *parts])


def main() -> int:
    """Write the baseline, unless there are migrations after it."""
    later = [migration.name for migration in migrations() if migration.version > 1]
    if later:
        sys.stderr.write(f"The baseline is in use: put the change into a new migration (after {later[-1]}).\n")
        return 1
    BASELINE.write_text(schema_sql(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
