"""Numbers, dashboard, alert rules: what they name is what our processes tell, and rules fire when they should."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

from config.metrics_registry import MetricsRegistry, merged
from config.runtime_metrics import RuntimeMetrics
from gateway.http.limits.deadline import within
from gateway.ops.queue_metrics import QueueMetrics
from store.pool import Database
from tests.product import free_port
from tests.stack import Services
from tests.support.ci import skip_or_fail
from tests.support.servers.proxy import proxy_to
from tests.telemetry.conftest import Watched
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
RULE_TESTS = Path(__file__).with_name("alerts_test.yml")
DASHBOARD = ROOT / "deploy/grafana/scopekit.json"
WAIT_SECONDS = 60.0
# What Prometheus gives a target, where nobody says otherwise.
SCRAPE_SECONDS = 10.0


@pytest.fixture
def promtool() -> str:
    """Prometheus's own judge of rules."""
    return shutil.which("promtool") or skip_or_fail("needs promtool, of Debian's package `prometheus`")


def _names(expression: str) -> set[str]:
    """Return the metrics an expression asks for."""
    return set(re.findall(r"\b(?:scopekit[_:]|process_)[a-z0-9_:]+", expression))


def _panels() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def _recorded() -> set[str]:
    return set(re.findall(r"record: (\S+)", RULES.read_text()))


def _samples(text: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


async def test_one_scrape_tells_every_process_of_the_machine(watched: Watched, tenant: Tenant) -> None:
    """The gateway's and the worker's numbers, each labelled with whose they are; the queue's once, with no label."""
    await watched.estimate(tenant)
    told = _samples(await asyncio.to_thread(watched.scrape))
    processes = {sample.labels["process"].rsplit("-", 1)[0] for sample in told["process_open_fds"]}
    assert processes == {"gateway", "worker"}
    assert "process" not in told["scopekit_jobs"][0].labels
    done = [s for s in told["scopekit_job_attempts_total"] if s.labels["outcome"] == "completed"]
    assert sum(sample.value for sample in done) >= 1
    assert {sample.labels["alert"] for sample in told["scopekit_alert_firing"]} == {
        *("processing_slo", "upload_retries", "analytics_outbox")
    }


async def test_what_rules_and_dashboard_name_is_told(
    watched: Watched, tenant: Tenant, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """No panel and no alert waits for a number that nobody counts."""
    await watched.estimate(tenant)
    # A worker asks the checks when it looks around, half a minute after its start.
    await admin.execute("SELECT scopekit.check_alerts(interval '1 hour')")
    async with asyncio.timeout(WAIT_SECONDS):
        told: set[str] = set()
        wanted = _names(RULES.read_text()).union(*map(_names, _panels())) - _recorded()
        # A switch that is not set has no sample; its family is there all the same.
        while not wanted - {"scopekit_queue_paused"} <= told:
            told = set(_samples(await asyncio.to_thread(watched.scrape)))
    assert "# TYPE scopekit_queue_paused gauge" in watched.scrape()
    assert len(wanted) > 30


def test_the_rules_are_sound_and_fire_when_they_should(promtool: str) -> None:
    """`promtool` reads them, and plays hours of made-up numbers: burns page, a handful of failures does not."""
    config = ["check", "config", "--syntax-only", str(RULES.with_name("prometheus.yml"))]
    for command in (config, ["check", "rules", "--lint-fatal", str(RULES)], ["test", "rules", str(RULE_TESTS)]):
        run = subprocess.run([promtool, *command], capture_output=True, text=True, check=False, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr


def test_every_panel_asks_in_good_promql(promtool: str, tmp_path: Path) -> None:
    """Each expression of the dashboard, as a rule, passes the same check."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(_panels())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
    run = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


async def test_a_database_that_hangs_costs_a_scrape_its_own_numbers_alone(services: Services) -> None:
    """It is said to be away long before who scrapes gives up, which is after 10 s."""
    async with proxy_to(str(services.settings().database_url)) as proxy:
        db = await Database.open(proxy.url, name="test")
        proxy.black_hole()
        numbers = QueueMetrics()
        await within(SCRAPE_SECONDS, numbers.refresh(db))
        proxy.mend()
        await db.close()
    assert [(family.name, family.samples[0].value) for family in numbers.collect()] == [("scopekit_database_up", 0)]


def test_families_of_several_processes_are_told_once_each() -> None:
    """One HELP and TYPE, then everybody's samples: twice would be refused by who reads it."""
    told = b'# HELP a_total As.\n# TYPE a_total counter\na_total{process="%s"} 1.0\n'
    other = b"# HELP b Bs.\n# TYPE b gauge\nb 2.0\n"
    text = merged([told % b"x", other, told % b"y"]).decode()
    assert text.count("# TYPE a_total") == 1
    assert [len(family.samples) for family in text_string_to_metric_families(text)] == [2, 1]


async def test_a_killed_neighbour_is_forgotten(services: Services) -> None:
    """A socket nobody listens at is removed; one whose process hangs costs a second and its own numbers alone."""
    with tempfile.TemporaryDirectory(prefix="sk-") as shared:  # a socket's path has 107 bytes at most
        directory = Path(shared)
        metrics = MetricsRegistry(services.settings(metrics_dir=str(directory)))
        left = directory / "worker-1.sock"
        (await asyncio.start_unix_server(lambda _reader, _writer: None, left)).close()
        async with metrics.shared():
            held: list[asyncio.StreamWriter] = []
            silent = await asyncio.start_unix_server(lambda _, writer: held.append(writer), directory / "worker-2.sock")
            text = (await metrics.export()).decode()
            silent.close()
            for writer in held:
                writer.close()
        assert "process_open_fds{process=" in text
        assert not left.exists()


async def test_a_worker_tells_at_its_own_port(services: Services) -> None:
    """Where no gateway runs beside it, its numbers and its neighbours' are read straight from it."""

    async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'# HELP b_total Bs.\n# TYPE b_total counter\nb_total{process="worker-1"} 2.0\n')
        writer.close()

    with tempfile.TemporaryDirectory(prefix="sk-") as shared:
        metrics, port = MetricsRegistry(services.settings(metrics_dir=shared)), free_port()
        neighbour = await asyncio.start_unix_server(tell, Path(shared) / "worker-1.sock")
        async with _running(metrics.serve_forever("127.0.0.1", port)):
            told = await _told_at(port)
        neighbour.close()
    assert "process_open_fds{process=" in told
    assert 'b_total{process="worker-1"} 2.0' in told


async def test_the_second_worker_of_a_port_takes_it_over(services: Services) -> None:
    """One has the port and tells of the others; when it ends the next has it, and what that counted meanwhile."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sk-") as shared:
        metrics = MetricsRegistry(services.settings(metrics_dir=shared))
        counted = Counter("attempts", "Attempts.", registry=metrics.registry)
        with socket.create_server(("127.0.0.1", port)) as first:
            async with _running(metrics.serve_forever("127.0.0.1", port)) as telling:
                told = await _told_to_a_neighbour(Path(shared), telling)
                counted.inc(3)
                first.close()
                after = await _told_at(port)
    assert b"attempts_total{process=" in told
    assert re.search(r"attempts_total\{process=[^}]*\} 3.0", after)


async def _told_to_a_neighbour(directory: Path, telling: "asyncio.Task[None]") -> bytes:
    """Ask by the socket in METRICS_DIR, as soon as it is there."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (found := list(directory.glob("*.sock"))) and not telling.done():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_unix_connection(found[0])
        told = await reader.read()
    writer.close()
    return told


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _told_at(port: int) -> str:
    async with asyncio.timeout(WAIT_SECONDS), httpx.AsyncClient() as client:
        while True:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.ConnectError:
                await asyncio.sleep(0.01)


async def test_tasks_are_told_by_name_or_by_what_they_run() -> None:
    """A request is no series of its own, however many there are; one that has ended is told no more."""
    over = asyncio.Event()

    async def wait_for_it() -> None:
        await over.wait()

    vitals = RuntimeMetrics()
    tasks = [asyncio.create_task(wait_for_it()) for _ in range(3)]
    named = asyncio.create_task(over.wait(), name="presence")
    assert _tasks(vitals)["presence"] == 1
    [told] = [name for name in _tasks(vitals) if name.endswith("wait_for_it")]
    assert _tasks(vitals)[told] == 3
    over.set()
    await asyncio.gather(named, *tasks)
    assert not {"presence", told} & set(_tasks(vitals))


async def test_a_scrape_tells_tasks_and_blocks(services: Services) -> None:
    """Each process its own."""
    told = _samples((await MetricsRegistry(services.settings()).export()).decode())
    assert sum(sample.value for sample in told["scopekit_asyncio_tasks"]) == len(asyncio.all_tasks())
    assert told["scopekit_python_blocks"][0].value > 0


def _tasks(vitals: RuntimeMetrics) -> dict[str, float]:
    vitals.refresh()
    [family, _] = vitals.collect()
    return {sample.labels["name"]: sample.value for sample in family.samples}
