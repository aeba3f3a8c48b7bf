"""The three servers start, keep what they are given, and leave nothing behind."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from redis.asyncio import Redis

from devstack.errors import EmbeddedError, NotInstalled
from devstack.servers.postgres import binaries
from devstack.servers.unprivileged import nobody_with_override, works
from devstack.stack import Endpoints, Stack
from tests.devstack.harness import STOP_S, Run, all_gone, hold_stack, kill
from tests.devstack.listening import tcp

SOCKETS = Path("/tmp")  # noqa: S108 - weed knows no other place
BODY = os.urandom(5_000_000)  # more than SeaweedFS puts in one chunk


def endpoints(run: Run) -> tuple[Endpoints, dict[str, int]]:
    """Wait until the stack is up; where it is and its pids."""
    told: dict[str, Any] = json.loads(run.wait_for("UP ").removeprefix("UP "))
    pids = told.pop("pids")
    return Endpoints(**told), pids


async def write(where: Endpoints) -> None:
    """Leave something in each of the three."""
    connection = await asyncpg.connect(where.admin_url)
    await connection.execute("CREATE TABLE kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ('Grüße')")
    await connection.close()
    async with Redis.from_url(where.redis_url) as redis:
        await redis.set("kept", "yes")
    async with s3(where) as client:
        await client.create_bucket(Bucket="kept")
        await client.put_object(Bucket="kept", Key="a/b", Body=BODY)


async def check_kept(where: Endpoints, *, in_redis: bool) -> None:
    """Find it again; the tests' Valkey keeps nothing on disk."""
    connection = await asyncpg.connect(where.admin_url)
    assert await connection.fetchval("SELECT word FROM kept") == "Grüße"
    await connection.close()
    async with Redis.from_url(where.redis_url) as redis:
        assert (await redis.get("kept") == b"yes") is in_redis
    async with s3(where) as client:
        answer = await client.get_object(Bucket="kept", Key="a/b")
        assert await answer["Body"].read() == BODY


def s3(where: Endpoints) -> Any:
    """Open a client of the embedded store."""
    return get_session().create_client(
        "s3",
        endpoint_url=where.s3_endpoint,
        region_name=where.s3_region,
        aws_access_key_id=where.s3_access_key,
        aws_secret_access_key=where.s3_secret_key,
        # After a kill the store was once seen to answer InternalError past the usual 4 tries, on a busy machine.
        config=AioConfig(retries={"max_attempts": 6}),
    )


async def test_a_killed_parent_takes_its_servers_along_and_the_next_start_has_the_data(tmp_path: Path) -> None:
    """After kill -9 nothing lingers; a second start comes up at once, in the same place, with everything in it."""
    directory = tmp_path / "data"
    with hold_stack(directory) as first:
        where, pids = endpoints(first)
        await write(where)
        first.process.kill()
        assert all_gone(directory, pids) == []
    with hold_stack(directory) as second:
        again, pids = endpoints(second)
        assert again == where
        await check_kept(again, in_redis=False)
        second.process.stdin.close()  # type: ignore[union-attr]
        second.wait_for("DOWN", STOP_S)
        assert all_gone(directory, pids) == []


async def test_a_stack_that_keeps_everything_keeps_redis_too(tmp_path: Path) -> None:
    """The durable stack of `make run` has its queue after a clean stop."""
    with Stack(tmp_path / "data") as where:
        await write(where)
    with Stack(tmp_path / "data") as where:
        await check_kept(where, in_redis=True)


def test_every_server_listens_on_loopback_only(tmp_path: Path) -> None:
    """No socket of any of the three is reachable from another machine."""
    with hold_stack(tmp_path / "data") as run:
        _where, pids = endpoints(run)
        addresses = {address for pid in pids.values() for address, _port in tcp(pid)}
    assert addresses == {"127.0.0.1"}


async def test_a_port_taken_meanwhile_moves_one_server_and_nothing_is_lost(tmp_path: Path) -> None:
    """The S3 store finds its objects at its new address."""
    directory = tmp_path / "data"
    with Stack(directory) as where:
        await write(where)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(where.s3_endpoint.rpartition(":")[2])))
        stranger.listen()
        with Stack(directory) as moved:
            assert moved.s3_endpoint != where.s3_endpoint
            assert moved.admin_url == where.admin_url
            await check_kept(moved, in_redis=True)


@pytest.mark.parametrize("name", ["postgres", "valkey", "seaweed"])
def test_a_server_that_dies_is_named_with_its_log(tmp_path: Path, name: str) -> None:
    """The supervisor notices, says who and where to look, and stops the others."""
    directory = tmp_path / "data"
    with hold_stack(directory) as run:
        _where, pids = endpoints(run)
        kill(pids[name])
        reason = run.wait_for("DEAD ", STOP_S)
        assert f"{name}: ended with signal 9" in reason
        assert f"logs/{name}.log" in reason
        assert run.ends() == 1
        assert all_gone(directory, pids) == []


def test_a_stale_postmaster_file_with_a_strangers_pid_does_not_block_the_start(tmp_path: Path) -> None:
    """In a restarted container the old pid is somebody else's: ours here."""
    directory = tmp_path / "data"
    with Stack(directory, durable=False):
        status = (directory / "postgres" / "postmaster.pid").read_text()
    _pid, _newline, rest = status.partition("\n")
    (directory / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n{rest}")
    with Stack(directory, durable=False) as where:
        assert where.admin_url


async def test_text_search_knows_letters_outside_ascii(tmp_path: Path) -> None:
    """pg_trgm and unaccent are there and, with our locale, see umlauts."""
    with Stack(tmp_path / "data", durable=False) as where:
        connection = await asyncpg.connect(where.admin_url)
        await connection.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent")
        assert await connection.fetchval("SELECT cardinality(show_trgm('äöü'))") == 4
        assert await connection.fetchval("SELECT unaccent('Grüße')") == "Grusse"
        assert await connection.fetchval("SHOW max_connections") == "200"
        assert await connection.fetchval("SHOW fsync") == "off"
        await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user needs no way around root")
async def test_root_without_user_namespaces_starts_postgres_below_a_closed_directory(tmp_path: Path) -> None:
    """As in a container: the server becomes uid 65534 and still reaches its directory; going back works too."""
    if not works(binaries() / "postgres", nobody_with_override):
        pytest.skip("this container's root may not change uid either")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with hold_stack(closed / "data", "--no-namespaces") as run:
        where, pids = endpoints(run)
        assert uid_of(pids["postgres"]) == 65534
        await write(where)
        run.process.kill()  # the signal at a parent's death survives the change of uid
        assert all_gone(closed / "data", pids) == []
    with Stack(closed / "data", durable=False) as where:
        await check_kept(where, in_redis=False)


def test_a_missing_extra_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the `local` extra the message names both ways out, and nothing stays behind."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(NotInstalled, match=r"make run.*DATABASE_URL"):
        Stack(tmp_path / "data").start()


def test_a_stopped_stack_leaves_nothing_in_tmp(tmp_path: Path) -> None:
    """SeaweedFS names its sockets in /tmp after its ports; neither they nor its remembered options stay."""
    before = set(SOCKETS.glob("seaweedfs-*"))  # a killed stack's, under other parts' names
    with Stack(tmp_path / "data", durable=False):
        ports = json.loads((tmp_path / "data" / "ports.json").read_text()).values()
        endings = tuple(f"-{number}.sock" for port in ports for number in (port, port + 10000))
        ours = {path for path in SOCKETS.glob("seaweedfs-*") if path.name.endswith(endings)} - before
        assert ours
    assert not [path for path in ours if path.exists()]
    assert not (tmp_path / "data" / "seaweed" / "mini.options").exists()


def test_a_stack_is_started_once(tmp_path: Path) -> None:
    """A second start of the same object is refused and leaves the first one running."""
    stack = Stack(tmp_path / "data", durable=False)
    stack.start()
    try:
        with pytest.raises(EmbeddedError, match="already runs"):
            stack.start()
        stack.check()
    finally:
        stack.stop()


def uid_of(pid: int) -> int:
    """Return the user a process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid
