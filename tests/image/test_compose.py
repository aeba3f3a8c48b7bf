"""The whole of compose.yaml, up: migrate, gateway and worker from the image, behind its proxy, on its networks."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from devstack.process import wait_until
from tests.image.compose_file import load
from tests.image.containers import Containers, mounted
from tests.image.networks import Networks
from tests.image.servers import Servers
from tests.product import end
from tests.support.ci import skip_or_fail
from tests.tenants import ALL_FLAGS, Tenant

PUBLIC, MEDIA = "estimates.example.test", "media.example.test"
VARIABLES = {
    "PUBLIC_HOST": PUBLIC,
    "MEDIA_HOST": MEDIA,
    "POSTGRES_PASSWORD": "superuserOfTheTest1",
    "GATEWAY_PASSWORD": "gatewayOfTheTest1",
    "WORKER_PASSWORD": "workerOfTheTest1",
    "REDIS_PASSWORD": "redisOfTheTest1",
    "S3_ACCESS_KEY_ID": "keyOfTheTest",
    "S3_SECRET_ACCESS_KEY": "secretOfTheTest1234",
    "JWT_SECRETS": "a-secret-of-the-image-suite-32-bytes-long",
    "INTERNAL_QUEUE_KEY": "the-queue-key-of-the-image-suite",
    "OPENAI_API_KEY": "sk-no-key",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
}
CUSTOMER = Path(__file__).with_name("customer.py")


class Machine:
    """compose's services as they run."""

    def __init__(self, containers: Containers, servers: Servers, networks: Networks, directory: Path) -> None:
        self.containers = containers
        self.servers = servers
        self.networks = networks
        self.directory = directory

    def ask_as_customer(self, *arguments: str) -> Any:
        """Run customer.py outside, where only the proxy is to be reached."""
        hosts = self.networks.hosts("customer", self.directory, {PUBLIC: "proxy", MEDIA: "proxy"})
        walls = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(hosts), "/etc/hosts", "--die-with-parent", "--"]
        authority = self.directory / "caddy" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        assert wait_until(authority.exists, 30.0)
        told = self.servers.run(
            "customer", [*walls, sys.executable, str(CUSTOMER), PUBLIC, str(authority), *arguments], dict(os.environ)
        )
        return json.loads(told.splitlines()[-1])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Bring all of it up in compose's order."""
    if os.geteuid() != 0:
        skip_or_fail("network namespaces need root")
    directory = tmp_path_factory.mktemp("compose")
    directory.chmod(0o755)
    compose = load(VARIABLES)
    members = {name: service["networks"] for name, service in compose["services"].items()}
    subnets = {"front": compose["networks"]["front"]["ipam"]["config"][0]["subnet"], "inside": "172.31.241.0/24"}
    networks = Networks(members | {"customer": ["front"]}, subnets)
    try:
        networks.make()
        with mounted(os.environ["SCOPEKIT_IMAGE"]) as image:
            containers = Containers(image, compose, networks, directory)
            servers = Servers(compose, networks, directory, VARIABLES)
            ours = []
            try:
                servers.postgres()
                servers.valkey()
                containers.run("s3-keys")
                servers.s3(containers.volume("s3-keys"), networks.hosts("s3", directory, {}))
                containers.run("bucket")
                containers.run("migrate")
                ours = [containers.start("gateway"), containers.start("worker")]
                servers.proxy(networks.hosts("proxy", directory, {}))
                assert wait_until(lambda: containers.healthy("gateway"), 60.0), containers.log("gateway").read_text()
                yield Machine(containers, servers, networks, directory)
            finally:
                for each in ours:
                    end(each)
                servers.stop()
    finally:
        networks.remove()


def test_the_deploy_check_of_compose_passes(machine: Machine) -> None:
    """As an operator runs it: `run --rm check`."""
    machine.containers.run("check")


def test_a_photo_goes_in_through_the_proxy_and_its_copy_comes_out(machine: Machine) -> None:
    """A visit, a photo, its copy by a signed URL and its progress, all over TLS."""
    tenant = Tenant(uuid4(), uuid4())
    flags = json.dumps(ALL_FLAGS)
    machine.servers.psql(
        f"INSERT INTO tenants (id, name) VALUES ('{tenant.id}', 'Acme');"
        f"INSERT INTO tenant_settings (tenant_id, feature_flags) VALUES ('{tenant.id}', '{flags}');"
        f"INSERT INTO memberships VALUES ('{tenant.id}', '{tenant.user_id}', 'owner')"
    )
    claims: dict[str, Any] = {"sub": str(tenant.user_id), "aud": "authenticated", "role": "authenticated"}
    claims["app_metadata"] = {"tenant_id": str(tenant.id)}
    token = Tenant(tenant.id, tenant.user_id, claims=claims).token(secret=VARIABLES["JWT_SECRETS"])
    told = machine.ask_as_customer(token)
    assert told == {"visit": 201, "media": 201, "copy": [MEDIA, 200], "hello": True, "metrics": 404}


@pytest.mark.parametrize(("service", "port"), [("postgres", 5432), ("valkey", 6379)])
def test_the_databases_are_on_the_inner_network_alone(machine: Machine, service: str, port: int) -> None:
    """The gateway reaches them, the proxy does not."""
    connect = ["bash", "-c", f"exec 3<>/dev/tcp/{machine.networks.address(service, 'inside')}/{port}"]
    machine.servers.run("gateway", connect, dict(os.environ))
    with pytest.raises(AssertionError):
        machine.servers.run("proxy", connect, dict(os.environ))


def test_nothing_is_written_outside_of_volumes(machine: Machine) -> None:
    """The root file system is read-only, and the user is not root."""
    done = machine.containers.start("check", ["timeit", "-n1", "open('/scopekit/x', 'w')"])
    assert done.wait(30) != 0
    assert "Read-only file system" in machine.containers.log("check").read_text()
