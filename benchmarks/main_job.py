"""The main job, timed step by step: `python -m benchmarks.main_job [--url URL --token TOKEN] [--runs N]`.

Without `--url` it starts a stack, a gateway and a worker of its own in a temporary directory. The first run pays for
loading the speech model; each step is printed for every run, in milliseconds, with its share of the run.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson

from devstack.stack import Stack
from store.objects.objects import ObjectStore
from store.pool import use_json
from tests.product import start_product
from tests.stack import Services, make_services, make_template
from tests.support.material import heic_photo, jpeg_photo, voice_note
from tests.tenants import make_tenant

DEADLINE_SECONDS = 120.0
NOTES = "Replace three GFCI outlets in the kitchen.\nPaint 240 sq ft of interior wall."


class Laps:
    """Named times of one run, in the order they were taken."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float]] = []
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Close the step that has run since the last lap."""
        now = time.perf_counter()
        self.taken.append((name, (now - self._last) * 1000))
        self._last = now

    def print(self, number: int) -> None:
        """Print the run as a table."""
        total = sum(ms for _, ms in self.taken)
        print(f"\nrun {number}{'':<37}ms  share")
        for name, ms in self.taken:
            print(f"  {name:<34} {ms:9.1f}  {ms / total:5.1%}")
        print(f"  {'total':<34} {total:9.1f}")


def run(client: httpx.Client, material: dict[str, Path]) -> Laps:
    """Do the main job once, as a contractor's browser and then as the customer's."""
    laps = Laps()
    visit = _ok(client.post("/v1/visits", json={"title": "Kitchen", "notes": NOTES})).json()["id"]
    laps.lap("create the visit")
    for kind, path in material.items():
        _ok(client.post(f"/v1/visits/{visit}/media", content=path.read_bytes(), headers={"content-type": kind}))
        laps.lap(f"upload {kind} ({path.stat().st_size // 1024} KiB)")
    _ok(client.post(f"/v1/visits/{visit}/estimate"))
    laps.lap("ask for the estimate")
    for event in _events(client, visit):
        if event["type"] in ("job.started", "step.completed"):
            laps.lap(event["payload"].get("step", "wait for a worker"))
    laps.lap("finish and hear of it")
    estimate = _ok(client.get(f"/v1/visits/{visit}/estimate")).json()
    laps.lap(f"read the estimate ({estimate['line_count']} lines)")
    share = _ok(client.post(f"/v1/estimates/{estimate['id']}/shares", json={"recipient": "Customer"})).json()
    laps.lap("make a share link")
    _open_as_customer(str(client.base_url), share["token"])
    laps.lap("open it as the customer")
    return laps


def _events(client: httpx.Client, visit: str) -> Iterator[dict[str, Any]]:
    """Yield the visit's events as they arrive, to the end of its job."""
    with client.stream("GET", f"/v1/visits/{visit}/progress", timeout=DEADLINE_SECONDS) as stream:
        _ok(stream)
        for line in stream.iter_lines():
            if line.startswith("data: {"):
                event = orjson.loads(line.removeprefix("data: "))
                if event.get("type") in ("job.failed", "job.cancelled"):
                    raise SystemExit(f"the job ended as {event}")
                if event.get("type") == "job.completed":
                    return
                if "type" in event:  # `open` and `end` have none
                    yield event


def _open_as_customer(url: str, token: str) -> None:
    with httpx.Client(base_url=url, headers={"origin": url.rstrip("/")}, follow_redirects=True) as customer:
        _ok(customer.get(f"/e/{token}"))
        _ok(customer.post(f"/e/{token}/open"))


def _ok(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise SystemExit(f"{response.request.method} {response.request.url.path}: {response.status_code}")
    return response


@contextmanager
def _own_product() -> Iterator[tuple[str, str]]:
    """Start everything in a temporary directory; gives the gateway's URL and a token."""
    with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as directory:
        began = time.perf_counter()
        with Stack(Path(directory)) as endpoints:
            print(f"start the stores            {(time.perf_counter() - began) * 1000:9.1f} ms")
            services, token = asyncio.run(_prepare(endpoints))
            began = time.perf_counter()
            with start_product(services, Path(directory)) as product:
                print(f"start gateway and worker    {(time.perf_counter() - began) * 1000:9.1f} ms")
                yield product.url, token


async def _prepare(endpoints: Any) -> tuple[Services, str]:
    await make_template(endpoints)
    services = await make_services(endpoints, "bench")
    async with ObjectStore.open(services.settings()) as objects:
        await objects.ensure_bucket()
    connection = await asyncpg.connect(services.admin_url)
    try:
        await use_json(connection)
        return services, (await make_tenant(connection)).token()
    finally:
        await connection.close()


def _make_material(directory: Path) -> dict[str, Path]:
    return {
        "image/jpeg": jpeg_photo(directory / "wall.jpg"),
        "image/heic": heic_photo(directory / "window.heic"),
        "audio/webm;codecs=opus": voice_note(directory / "note.webm"),
    }


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", help="a running gateway, such as http://127.0.0.1:8000")
    parser.add_argument("--token", help="a token for it: ./scopekit token")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        material = _make_material(Path(directory))
        if options.url:
            _time(options.url, options.token or "", material, options.runs)
            return
        with _own_product() as (url, token):
            _time(url, token, material, options.runs)


def _time(url: str, token: str, material: dict[str, Path], runs: int) -> None:
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        for number in range(1, runs + 1):
            run(client, material).print(number)


if __name__ == "__main__":
    main()
