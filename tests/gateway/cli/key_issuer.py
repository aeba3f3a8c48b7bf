"""An S3 store that issues keys and revokes them, as a provider does: SeaweedFS with its IAM API open for writing."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiobotocore.session import get_session

from devstack.process import await_end, spawn, wait_until
from devstack.servers.seaweed import PARTS, REGION, Seaweed
from devstack.state_file import StateFile

START_SECONDS = 60.0
USER = "spine"
_MAY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}


class Key(NamedTuple):
    """A key as it is handed out."""

    id: str
    secret: str


class KeyIssuer(Seaweed):
    """Issues keys of one user, any number side by side; one that is revoked opens nothing from then on."""

    async def make_user(self, bucket: str) -> None:
        """Make the user, who may do everything, and the buckets."""
        async with self._client("iam") as iam:
            await iam.create_user(UserName=USER)
            await iam.put_user_policy(UserName=USER, PolicyName="all", PolicyDocument=json.dumps(_MAY))
        async with self._client("s3") as s3:
            for name in (bucket, f"{bucket}-originals"):
                await s3.create_bucket(Bucket=name)

    async def issue(self) -> Key:
        """Hand out another key."""
        async with self._client("iam") as iam:
            key = (await iam.create_access_key(UserName=USER))["AccessKey"]
        return Key(key["AccessKeyId"], key["SecretAccessKey"])

    async def revoke(self, key: Key) -> None:
        """Take a key back."""
        async with self._client("iam") as iam:
            await iam.delete_access_key(UserName=USER, AccessKeyId=key.id)

    @asynccontextmanager
    async def _client(self, service: str) -> AsyncIterator[Any]:
        async with get_session().create_client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        ) as client:
            yield client

    def _options(self) -> tuple[str, ...]:
        return (*super()._options(), "-s3.iam.readOnly=false")


@contextmanager
def key_issuer(directory: Path) -> Iterator[KeyIssuer]:
    """Run the store until the block is left."""
    ports = StateFile(directory / "ports.json").ports(PARTS, paired=frozenset(PARTS))
    issuer = KeyIssuer(directory, ports, StateFile(directory / "keys.json"))
    launch = issuer.launch()
    with (directory / "store.log").open("wb") as log:
        running = spawn(launch.command, env=launch.env, cwd=launch.cwd, output=log, death_signal=launch.death_signal)
    try:
        assert wait_until(lambda: issuer.ready(running.pid), START_SECONDS), (directory / "store.log").read_text()
        yield issuer
    finally:
        running.kill()
        await_end(running, launch.stop_within_s)
        issuer.clean_up()
