"""Brings a database to the newest schema: numbered files, forward only, each once and in one transaction."""

import asyncio
import hashlib
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

DIRECTORY = Path(__file__).parent / "migrations"
_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
# Any constant will do: it only has to be the same in every process that migrates.
_LOCK = 7_263_118_204
LIST_IS_KEPT = """
SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.schema_migrations') AND relrowsecurity)
"""
# Who waits for a table keeps everybody waiting who comes to it later. Less than deadlock_timeout, which is 1 s: where a
# worker and a file wait for each other, it is mostly the file that lets go.
LOCK_MS = 800
AGAIN_SECONDS = 1.0
# In all: `up` waits for twice as long.
LOCKS_SECONDS = 60.0


class MigrationError(Exception):
    """The files and the database disagree; the message says which, and the remedy."""


@dataclass(frozen=True)
class Migration:
    """One file: its number, name and text."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """sha256 of the text, kept beside the version so that an edited file is found."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """All migrations in order of their number; two of one number are an error."""
    found = [
        Migration(int(match[1]), match[2], path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("*.sql"))
        if (match := _FILE.match(path.name))
    ]
    if len({migration.version for migration in found}) != len(found):
        raise MigrationError("Two migrations carry the same number.")
    return found


async def migrate(url: str, directory: Path = DIRECTORY) -> list[Migration]:
    """Apply the missing migrations and return them; safe to run twice, and by several at once."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        until = time.monotonic() + LOCKS_SECONDS
        await _keep_a_list(connection)
        missing = _missing(migrations(directory), await _applied(connection))
        for migration in missing:
            await _apply(connection, migration, until)
        return missing
    finally:
        await connection.close(timeout=5)


@dataclass(frozen=True)
class Standing:
    """The difference between a database and the files: migrations it lacks, and those the files do not know."""

    pending: list[Migration]
    unknown: list[int]


async def standing(url: str, directory: Path = DIRECTORY) -> Standing:
    """Compare. Raises `MigrationError` when a file was edited after it was applied."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        known, applied = migrations(directory), await _applied(connection)
    finally:
        await connection.close(timeout=5)
    return Standing(_missing(known, applied), sorted(applied.keys() - {each.version for each in known}))


async def pending(url: str, directory: Path = DIRECTORY) -> list[Migration]:
    """Return the migrations that `migrate` would apply."""
    return (await standing(url, directory)).pending


async def _keep_a_list(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make the list, unless there is one: ALTER would wait for readers, such as a dump, and others behind that."""
    if await connection.fetchval(LIST_IS_KEPT):
        return
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS public.schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
        "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    await connection.execute("ALTER TABLE public.schema_migrations ENABLE ROW LEVEL SECURITY")


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[int, str]:
    """Read the list; a database without one has had nothing applied."""
    if await connection.fetchval("SELECT to_regclass('public.schema_migrations')") is None:
        return {}
    rows = await connection.fetch("SELECT version, checksum FROM public.schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


def _missing(known: list[Migration], applied: dict[int, str]) -> list[Migration]:
    for migration in known:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.version:04}_{migration.name}.sql was edited after it was applied: "
                "restore it and put the change into a new file."
            )
    return [migration for migration in known if migration.version not in applied]


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration, until: float) -> None:
    """Apply one. Its locks are waited for briefly, and again: those behind it come in between."""
    while True:
        try:
            return await _try(connection, migration)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if time.monotonic() >= until:
                raise MigrationError(
                    f"{migration.version:04}_{migration.name}.sql waits for a table that others hold: "
                    "end the oldest transactions in pg_stat_activity and migrate again."
                ) from error
        await asyncio.sleep(AGAIN_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load


async def _try(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute("SELECT set_config('lock_timeout', $1, true)", str(LOCK_MS))
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO public.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )
