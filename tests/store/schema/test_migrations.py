"""The schema is its migrations: in order, once, whole, and on the oldest server we support."""

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe

import asyncpg
import pytest

import store.schema.migrate
from store.pool import use_json
from store.schema.build import BASELINE
from store.schema.migrate import DIRECTORY, MigrationError, migrate, migrations, pending
from tests.product import free_port
from tests.stack import Services
from tests.store.schema.rows import fill_every_table
from tests.support.ci import skip_or_fail
from tests.support.waiting import until_somebody_waits_for
from tests.tenants import make_tenant

DEADLINE_SECONDS = 30.0
# As a later release begins a change: what is there goes on to work without it.
EXPAND = """
ALTER TABLE public.site_visits ADD COLUMN colour text;
UPDATE public.site_visits SET colour = 'none';
"""
PG15 = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
async def empty(services: Services, admin: "asyncpg.Connection[asyncpg.Record]") -> str:
    """An empty database beside the worker's own."""
    name = services.admin_url.rsplit("/", 1)[1] + "_empty"
    await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await admin.execute(f"CREATE DATABASE {name}")
    return services.admin_url.rsplit("/", 1)[0] + f"/{name}"


async def test_a_second_run_finds_nothing_to_do(empty: str) -> None:
    """All files apply in the order of their numbers, and only once."""
    applied = await migrate(empty)
    assert [migration.version for migration in applied] == sorted(migration.version for migration in migrations())
    assert await migrate(empty) == []
    assert await pending(empty) == []


async def test_looking_changes_nothing(empty: str) -> None:
    """A login that may only read is told what a database lacks, the empty one and the newest."""
    reading = f"{empty}?default_transaction_read_only=on"
    assert await pending(reading) == migrations()
    await migrate(empty)
    assert await pending(reading) == []


async def test_a_failing_file_leaves_nothing_behind(empty: str, tmp_path: Path) -> None:
    """Each file is one transaction: half of it is none of it, and a later run goes on there."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id integer);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id integer); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty, tmp_path)
    assert [migration.name for migration in await pending(empty, tmp_path)] == ["second"]
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id integer);")
    assert [migration.name for migration in await migrate(empty, tmp_path)] == ["second"]


async def test_an_edited_file_is_refused(empty: str, tmp_path: Path) -> None:
    """What was applied stays as it was written."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id integer);")
    await migrate(empty, tmp_path)
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id bigint);")
    with pytest.raises(MigrationError, match="edited"):
        await migrate(empty, tmp_path)


async def stand_before(database: str, directory: Path, sql: str) -> None:
    """Make two tables, and put a file beside that is yet to be applied."""
    (directory / "0001_tables.sql").write_text("CREATE TABLE first (id integer); CREATE TABLE second (id integer);")
    await migrate(database, directory)
    (directory / "0002_names.sql").write_text(sql)


async def test_a_file_that_finds_its_table_held_lets_others_pass(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks again until the table is free, and does not keep readers waiting behind it meanwhile."""
    monkeypatch.setattr(store.schema.migrate, "LOCK_MS", 20)
    monkeypatch.setattr(store.schema.migrate, "AGAIN_SECONDS", 0.02)
    await stand_before(empty, tmp_path, "ALTER TABLE first ADD name text;")
    report, reader = [await asyncpg.connect(empty) for _ in range(2)]
    try:
        transaction = report.transaction()
        await transaction.start()
        await report.execute("SELECT * FROM first")
        async with asyncio.timeout(DEADLINE_SECONDS):
            migration = asyncio.create_task(migrate(empty, tmp_path))
            for _ in range(2):
                await until_somebody_waits_for(report.get_server_pid(), reader)
                await reader.execute("SELECT * FROM first")
            assert not migration.done()
            await transaction.commit()
            assert [each.name for each in await migration] == ["names"]
    finally:
        report.terminate()
        reader.terminate()


async def test_a_file_and_a_writer_that_wait_for_each_other(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker may that takes the file's tables the other way round: the file lets go, and is applied after it."""
    monkeypatch.setattr(store.schema.migrate, "LOCK_MS", 60_000)
    monkeypatch.setattr(store.schema.migrate, "AGAIN_SECONDS", 0.02)
    await stand_before(
        empty,
        tmp_path,
        "ALTER TABLE first ADD name text; SELECT pg_advisory_xact_lock(1); ALTER TABLE second ADD name text;",
    )
    writer, gate = [await asyncpg.connect(f"{empty}?deadlock_timeout=60s") for _ in range(2)]
    try:
        await gate.execute("SELECT pg_advisory_lock(1)")
        async with asyncio.timeout(DEADLINE_SECONDS):
            migration = asyncio.create_task(migrate(f"{empty}?deadlock_timeout=10ms", tmp_path))
            file = await until_somebody_waits_for(gate.get_server_pid(), gate)
            async with writer.transaction():
                await writer.execute("INSERT INTO second VALUES (1)")
                writing = asyncio.create_task(writer.execute("INSERT INTO first VALUES (1)"))
                await until_somebody_waits_for(file, gate)
                await gate.execute("SELECT pg_advisory_unlock(1)")
                await writing
            assert [each.name for each in await migration] == ["names"]
    finally:
        writer.terminate()
        gate.terminate()


async def test_nothing_to_do_waits_for_nobody(empty: str, tmp_path: Path) -> None:
    """Nor does anybody wait for it who reads the list."""
    await stand_before(empty, tmp_path, "SELECT 1;")
    await migrate(empty, tmp_path)
    dump = await asyncpg.connect(empty)
    try:
        async with dump.transaction(), asyncio.timeout(DEADLINE_SECONDS):
            await dump.execute("SELECT * FROM schema_migrations")
            assert await migrate(empty, tmp_path) == []
    finally:
        dump.terminate()


async def test_a_file_does_not_wait_for_ever(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever migrates is told what to do, and nothing is left behind."""
    monkeypatch.setattr(store.schema.migrate, "LOCK_MS", 20)
    monkeypatch.setattr(store.schema.migrate, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(store.schema.migrate, "LOCKS_SECONDS", 0.1)
    await stand_before(empty, tmp_path, "ALTER TABLE first ADD name text;")
    report = await asyncpg.connect(empty)
    try:
        async with report.transaction():
            await report.execute("SELECT * FROM first")
            with pytest.raises(MigrationError, match="waits for a table"):
                await migrate(empty, tmp_path)
    finally:
        report.terminate()
    assert [each.name for each in await pending(empty, tmp_path)] == ["names"]


async def test_a_database_in_use_is_brought_up_with_all_its_rows(empty: str, tmp_path: Path) -> None:
    """Filled as of the baseline, then migrated: every row stays, and the job that waits is done."""
    (tmp_path / BASELINE.name).write_text(BASELINE.read_text(encoding="utf-8"), encoding="utf-8")
    await migrate(empty, tmp_path)
    connection = await asyncpg.connect(empty)
    try:
        await use_json(connection)
        tenant = await make_tenant(connection, signed_in=False)
        await fill_every_table(connection, tenant)
        before = await _counts(connection)
        assert before["processing_events"] > 0
        for migration in migrations()[1:]:
            shutil.copy(DIRECTORY / f"{migration.version:04}_{migration.name}.sql", tmp_path)
        (tmp_path / "9999_expand.sql").write_text(EXPAND)
        await migrate(empty, tmp_path)
        after = await _counts(connection)
        after |= {
            view: await connection.fetchval(f"SELECT count(*) FROM {view}") for view in ("ai_jobs", "ai_jobs_dlq")
        }
        after |= {table: before[table] for table in ("derivative_queue", "analytics_outbox")}  # jobs since
        assert {table: after[table] for table in before} == before | {"schema_migrations": len(migrations()) + 1}
        assert await connection.fetchval("SELECT count(*) FROM site_visits WHERE colour = 'none'") == 1
        [job] = await connection.fetch("SELECT id, lease_token AS token FROM claim_ai_jobs(5)")
        assert await connection.fetchval("SELECT scopekit.complete_job($1, $2, $3, NULL)", *job, {"total": "1.00"})
    finally:
        await connection.close()


async def test_an_owner_need_not_be_a_superuser(empty: str, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """As on Supabase: who may make roles and has the ADMIN OPTION of ours applies every file, and it works for them."""
    database = empty.rsplit("/", 1)[1]
    owner = f"owner_of_{database}"
    if not await admin.fetchval("SELECT to_regrole($1) IS NOT NULL", owner):
        await admin.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS NOSUPERUSER")
    await admin.execute(
        "GRANT anon, authenticated, service_role, scopekit_gateway, scopekit_worker, scopekit_observer "
        f"TO {owner} WITH ADMIN OPTION; ALTER DATABASE {database} OWNER TO {owner}"
    )
    await migrate(empty.replace("postgres@", f"{owner}@"))
    connection = await asyncpg.connect(empty.replace("postgres@", f"{owner}@"))
    try:
        await use_json(connection)
        tenant = await make_tenant(connection)
        await connection.execute("INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, 3)", tenant.id)
        await connection.execute(
            "INSERT INTO ai_jobs (tenant_id, visit_id, job_type) SELECT tenant_id, id, 'x' FROM site_visits"
        )
        assert len(await connection.fetch("SELECT id FROM claim_ai_jobs(3)")) == 3
        told = await connection.fetch("SELECT type, seq FROM processing_events ORDER BY seq, visit_id")
        assert [tuple(row) for row in told] == [("job.queued", 1)] * 3 + [("job.started", 2)] * 3
    finally:
        await connection.close()


async def _counts(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    tables = await connection.fetch("SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'public'")
    return {row[0]: await connection.fetchval(f"SELECT count(*) FROM {row[0]}") for row in tables}


@pytest.fixture
def oldest_server(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL 15 of its own on a loopback port."""
    if not (PG15 / "initdb").exists():
        skip_or_fail("needs Debian's postgresql-15 for the oldest supported server")
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    shutil.chown(data, "postgres")
    run = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    word = tmp_path / "password"
    word.touch(mode=0o600)
    word.write_text(password := token_urlsafe())
    shutil.chown(word, "postgres")
    options = ["-A", "scram-sha-256", f"--pwfile={word}", "-U", "postgres"]
    subprocess.run([*run, PG15 / "initdb", "-D", data, *options], check=True, capture_output=True)
    server = subprocess.Popen(
        [*run, PG15 / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", "", "-c", "fsync=off"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    assert any("ready to accept connections" in line for line in server.stderr), "PostgreSQL 15 did not start"
    reading = threading.Thread(target=server.stderr.read)  # a full pipe would hold the server up
    reading.start()
    yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    server.terminate()
    reading.join(timeout=20)
    server.wait(timeout=20)
    server.stderr.close()


async def test_the_same_files_run_on_postgresql_15(oldest_server: str) -> None:
    """Roles, shims and the uuidv7 fallback are made where the server lacks them, and uuids sort by time."""
    await migrate(oldest_server)
    connection = await asyncpg.connect(oldest_server)
    try:
        assert (connection.get_server_version().major, await pending(oldest_server)) == (15, [])
        made = [await connection.fetchval("SELECT uuidv7()") for _ in range(3)]
        assert {uuid.version for uuid in made} == {7}
        stamps = [int(uuid.hex[:12], 16) for uuid in made]
        assert stamps == sorted(stamps)
        assert abs(await connection.fetchval("SELECT extract(epoch FROM now()) * 1000") - stamps[0]) < 60_000
    finally:
        await connection.close()


async def test_an_owner_who_may_not_make_a_role_is_told_what_to_run(oldest_server: str) -> None:
    """As on RDS and Azure: only an administrator makes a role with BYPASSRLS; then the same migration goes through."""
    connection = await asyncpg.connect(oldest_server)
    try:
        await connection.execute("CREATE ROLE owner LOGIN CREATEROLE NOSUPERUSER PASSWORD 'of-the-owner'")
        await connection.execute("CREATE DATABASE ours OWNER owner")
        ours = "postgresql://owner:of-the-owner@" + oldest_server.rsplit("@", 1)[1].replace("/postgres", "/ours")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await migrate(ours)
        assert str(refused.value.message) == 'This login may not create the role "service_role".'
        remedy = "CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;"
        assert remedy in str(refused.value.hint)
        await connection.execute(remedy)
        await migrate(ours)
        assert await pending(ours) == []
    finally:
        await connection.close()
