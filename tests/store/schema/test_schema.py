"""The schema's files build what the migrations build, and keep the rules that hold for every table and function."""

import asyncpg
import pytest

from store.schema.build import AREAS, BASELINE, SCHEMA, schema_sql
from store.schema.migrate import migrations
from tests.stack import Services
from tests.store.schema.catalogue import OURS, OWN_FUNCTION, catalogue, differences
from tests.store.schema.rows import Admin


@pytest.fixture
async def empty(services: Services, admin: Admin) -> str:
    """An empty database beside the worker's own."""
    name = services.admin_url.rsplit("/", 1)[1] + "_schema"
    await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await admin.execute(f"CREATE DATABASE {name}")
    return services.admin_url.rsplit("/", 1)[0] + f"/{name}"


async def test_schema_files_and_migrations_build_the_same(empty: str, admin: Admin) -> None:
    """Tables, columns, constraints, indexes, functions, triggers, policies and rights agree, one by one."""
    connection = await asyncpg.connect(empty)
    try:
        async with connection.transaction():
            await connection.execute(schema_sql())
        assert differences(await catalogue(connection), await catalogue(admin)) == {}
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("ALTER TABLE site_visits ADD COLUMN colour text", "columns"),
        ("ALTER TABLE site_visits DROP CONSTRAINT site_visits_title_check", "constraints"),
        ("DROP INDEX site_visits_newest", "indexes"),
        (
            "CREATE OR REPLACE FUNCTION scopekit.iso(p_at timestamptz) RETURNS text LANGUAGE sql AS 'SELECT NULL'",
            "functions",
        ),
        ("ALTER TABLE jobs RENAME COLUMN worker TO process", "columns"),
        ("DROP POLICY select_as_viewer ON site_visits", "policies"),
        ("ALTER TABLE site_visits DISABLE ROW LEVEL SECURITY", "relations"),
        ("GRANT SELECT ON service_keys TO anon", "rights on relations"),
        ("GRANT SELECT (token_hash) ON share_tokens TO authenticated", "rights on columns"),
        ("GRANT EXECUTE ON FUNCTION scopekit.sweep TO anon", "rights on functions"),
        ("DROP TRIGGER enqueue_derivatives ON site_visit_media", "triggers"),
        ("DROP VIEW scopekit.job_statuses", "views"),
    ],
)
async def test_comparison_sees_every_kind_of_drift(admin: Admin, change: str, kind: str) -> None:
    """A change of any kind is a difference of its kind: the test above can fail."""
    before = await catalogue(admin)
    transaction = admin.transaction()
    await transaction.start()
    try:
        await admin.execute("SET LOCAL lock_timeout = '5s'")
        await admin.execute(change)
        assert kind in differences(before, await catalogue(admin))
    finally:
        await transaction.rollback()


def test_every_schema_file_is_an_area() -> None:
    """A new file that is not in the list would be in no database."""
    files = [path.relative_to(SCHEMA).with_suffix("") for path in SCHEMA.rglob("*.sql")]
    assert sorted(path.as_posix() for path in files if path.parts[0] != "migrations") == sorted(AREAS)


def test_baseline_is_made_of_the_schema_files() -> None:
    """As long as the baseline is the only migration; later ones leave it as it was applied."""
    if len(migrations()) == 1:
        assert BASELINE.read_text(encoding="utf-8") == schema_sql(), "run `make baseline`"


async def test_pg_temp_is_last_in_every_search_path(admin: Admin) -> None:
    """Unnamed it comes first: a caller's temporary table would stand for ours in a function with its owner's rights."""
    rows = await admin.fetch(
        "SELECT p.oid::regprocedure::text AS name, prosecdef, (SELECT substr(setting, 13) FROM unnest(proconfig) AS "
        f"setting WHERE setting LIKE 'search_path=%') AS path FROM pg_proc p WHERE {OWN_FUNCTION}"
    )
    definers = [row for row in rows if row["prosecdef"]]
    assert definers
    assert [row["name"] for row in definers if row["path"] is None] == []
    assert [row["name"] for row in rows if row["path"] and not row["path"].endswith(", pg_temp")] == []


async def test_every_foreign_key_has_an_index(admin: Admin) -> None:
    """Its first column is the first of an index, so that deleting a parent reads no whole table.

    A partial index serves where it leaves out only rows without a parent.
    """
    rows = await admin.fetch(
        "SELECT conrelid::regclass || ' ' || conname FROM pg_constraint c WHERE contype = 'f' "
        f"AND connamespace IN {OURS} AND NOT EXISTS (SELECT FROM pg_index i "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        "WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1] "
        "AND coalesce(pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname), true))"
    )
    assert [row[0] for row in rows] == []


def test_every_table_and_function_has_a_comment() -> None:
    """A sentence before it says what a row is, or what the function does."""
    missing = []
    for area in AREAS:
        lines = (SCHEMA / f"{area}.sql").read_text(encoding="utf-8").splitlines()
        missing += [
            line
            for before, line in zip(["", *lines], lines, strict=False)
            if line.startswith(("CREATE TABLE", "CREATE UNLOGGED TABLE", "CREATE FUNCTION", "CREATE VIEW"))
            and not before.startswith("--")
        ]
    assert missing == []
