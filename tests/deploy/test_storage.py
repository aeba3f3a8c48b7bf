"""The S3 store as deploy/compose.yaml starts it: it takes uploads, and opens to nobody else."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from aiobotocore.session import get_session

from devstack.process import await_end, spawn, wait_until
from devstack.servers.embedded_server import bare_env
from devstack.servers.seaweed import REGION, Seaweed, binary
from devstack.state_file import LOOPBACK, PAIR_OFFSET, StateFile
from store.objects.seaweed import ENVIRONMENT, FLAGS, main
from tests.devstack.listening import ports, sockets
from tests.devstack.stranger import open_to_a_stranger
from tests.product import ROOT

START_SECONDS = 60.0
PARTS = ("master", "volume", "filer", "s3")
PLACES = {"-dir=/data", "-ip=s3", "-ip.bind=0.0.0.0", "-config_dir=/s3-keys"}
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]


def test_compose_starts_weed_as_the_local_stack_does() -> None:
    """The flags and the variables that make it safe have one home; keys come before it."""
    service = SERVICES["s3"]
    assert set(FLAGS) | PLACES <= set(service["command"])
    assert ENVIRONMENT.items() <= service["environment"].items()
    assert service["depends_on"] == {"s3-keys": {"condition": "service_completed_successfully"}}
    assert SERVICES["s3-keys"]["command"] == ["store.objects.seaweed", "/s3-keys", "s3"]
    readers = {name for name, each in SERVICES.items() if any("s3-keys:" in v for v in each.get("volumes", ()))}
    assert readers == {"s3-keys", "s3"}


def test_keys_are_made_once(tmp_path: Path) -> None:
    """A second start leaves them as they are, for a server that runs has the first ones; nobody else reads them."""
    main([str(tmp_path), "s3"])
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    main([str(tmp_path), "s3"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@contextmanager
def store_of_compose(directory: Path) -> Iterator[tuple[int, Seaweed]]:
    """Run weed with compose's own command, on loopback and in `directory`."""
    numbers = StateFile(directory / "ports.json").ports((*PARTS, "admin"), paired=frozenset((*PARTS, "admin")))
    store = Seaweed(directory, numbers, StateFile(directory / "secrets.json"))
    store.data.mkdir()
    main([str(directory), LOOPBACK])
    here = {"-dir=/data": f"-dir={store.data}", "-config_dir=/s3-keys": f"-config_dir={directory}"}
    here |= {"-ip=s3": f"-ip={LOOPBACK}", "-ip.bind=0.0.0.0": f"-ip.bind={LOOPBACK}"}
    command = [str(binary()), *(here.get(part, part) for part in SERVICES["s3"]["command"])]
    command += [f"-{part}.port={numbers[part]}" for part in PARTS]
    command += [f"-{part}.port.grpc={numbers[part] + PAIR_OFFSET}" for part in PARTS]
    env = bare_env(directory) | SERVICES["s3"]["environment"]
    env |= {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
    with (directory / "store.log").open("wb") as log:
        running = spawn(command, env=env, cwd=store.data, output=log, death_signal=signal.SIGKILL)
    try:
        assert wait_until(lambda: store.ready(running.pid), START_SECONDS), (directory / "store.log").read_text()
        yield running.pid, store
    finally:
        running.kill()
        await_end(running, 3.0)
        store.clean_up()


async def test_the_store_of_compose_takes_uploads_and_opens_to_nobody_else(tmp_path: Path) -> None:
    """An object is written and read by S3's keys, and a stranger who tries every port of it gets nothing."""
    with store_of_compose(tmp_path) as (pid, store):
        async with get_session().create_client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=REGION,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
        ) as s3:
            await s3.create_bucket(Bucket="kept")
            await s3.put_object(Bucket="kept", Key="a/b", Body=b"photo")
            assert await (await s3.get_object(Bucket="kept", Key="a/b"))["Body"].read() == b"photo"
        listening = ports(pid)
        assert len(listening) >= 2 * len(PARTS)
        told = {"directory": str(tmp_path), "pids": {"s3": pid}, "ports": sorted(listening)}
        assert open_to_a_stranger(told | {"sockets": sorted(sockets(pid))}) == []
