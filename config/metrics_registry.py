"""The numbers of one process as Prometheus reads them, and those of its siblings on this machine.

Each process keeps its own and exports them through a socket in METRICS_DIR to whichever is scraped: nothing is summed,
so a process that ends takes no counts from the others, and counting costs nothing beyond plain Python.
"""

import asyncio
import errno
import os
import random
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from config.logging import get_logger
from config.runtime_metrics import RuntimeMetrics
from config.settings import Settings

_log = get_logger(__name__)

# A scrape must not wait longer for a process that hangs; its numbers are missing then.
SIBLING_SECONDS = 1.0
ANSWER_SECONDS = 5.0
# How often a process looks whether the sibling that held METRICS_PORT is gone: before the next scrape, mostly.
TAKE_OVER_SECONDS = 2.0
SIBLING_BYTES = 4 * 1024 * 1024


class MetricsRegistry:
    """The metrics of one process: each module registers its collectors with `registry`."""

    def __init__(self, settings: Settings) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._runtime = RuntimeMetrics()
        self.registry.register(self._runtime)
        self._directory = None if settings.metrics_dir is None else Path(settings.metrics_dir)
        self._process = f"{settings.function_name}-{os.getpid()}"

    @contextmanager
    def registered(self, collector: Collector) -> Iterator[None]:
        """Export the collector's numbers too, as long as the block runs."""
        self.registry.register(collector)
        try:
            yield
        finally:
            self.registry.unregister(collector)

    def collect(self) -> Iterator[Metric]:
        """Give every family; beside siblings each sample is labelled with its process."""
        whose = {} if self._directory is None else {"process": self._process}
        for family in self.registry.collect():
            family.samples = [sample._replace(labels={**whose, **sample.labels}) for sample in family.samples]
            yield family

    async def export(self) -> bytes:
        """Return the numbers of this process, and of all that share its METRICS_DIR."""
        own = await self._text()
        if self._directory is None:
            return own
        others = [path for path in self._directory.glob("*.sock") if path != self._socket(self._directory)]
        return merged([own, *await asyncio.gather(*map(_ask, others))])

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Answer siblings that ask, as long as the block runs."""
        if self._directory is None:
            yield
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._socket(self._directory)
        server = await asyncio.start_unix_server(self._answer, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def serve_forever(self, host: str, port: int | None) -> None:
        """Answer siblings, and scrapes of this port if there is one: for a process that serves no HTTP itself."""
        async with self.shared():
            with nullcontext() if port is None else await self._opened(host, port):
                await asyncio.Event().wait()

    async def _opened(self, host: str, port: int) -> AbstractContextManager[None]:
        """Export the metrics of this process and its siblings at this port, as soon as no sibling has the port."""
        registry = CollectorRegistry()
        registry.register(_SiblingCollector(self, asyncio.get_running_loop()))
        serving = _serving(host, port, registry)
        if serving is None:
            _log.info("Another process has METRICS_PORT; this one waits for it", port=port)
        while serving is None:
            await asyncio.sleep(TAKE_OVER_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load
            serving = _serving(host, port, registry)
        _log.info("The metrics of this machine are exported at METRICS_PORT", port=port)
        return _until_left(*serving)

    async def _text(self) -> bytes:
        """Write it all down, beside the event loop: a thousand samples take ten milliseconds."""
        self._runtime.refresh()
        return await asyncio.to_thread(generate_latest, self)

    def _socket(self, directory: Path) -> Path:
        """Name it so that containers that share the directory, where everybody is process 1, do not meet."""
        return directory / f"{socket.gethostname()[:12]}-{os.getpid()}.sock"

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            writer.write(await self._text())
            async with asyncio.timeout(SIBLING_SECONDS):
                await writer.drain()
        writer.close()


class _SiblingCollector(Collector):
    """The metrics of a process and its siblings, for a thread that answers beside the event loop."""

    def __init__(self, metrics: MetricsRegistry, loop: asyncio.AbstractEventLoop) -> None:
        self._metrics = metrics
        self._loop = loop

    def collect(self) -> Iterable[Metric]:
        text = asyncio.run_coroutine_threadsafe(self._metrics.export(), self._loop).result(ANSWER_SECONDS)
        return text_string_to_metric_families(text.decode())


def _serving(host: str, port: int, registry: CollectorRegistry) -> tuple[WSGIServer, Thread] | None:
    """Start a server for scrapers, unless another process has the port."""
    try:
        return start_http_server(port, host, registry)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    return None


@contextmanager
def _until_left(server: WSGIServer, thread: Thread) -> Iterator[None]:
    """Let a server run as long as the block does."""
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def merged(texts: Iterable[bytes]) -> bytes:
    """Put the samples of each family together, as the format wants them: one HELP, one TYPE, then all samples."""
    families: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        for block in text.decode().split("# HELP ")[1:]:
            explanation, kind, samples = block.split("\n", 2)
            families[f"# HELP {explanation}\n{kind}\n"].append(samples)
    return "".join(head + "".join(samples) for head, samples in families.items()).encode()


async def _ask(path: Path) -> bytes:
    """Return the metrics of a sibling; nothing when it is gone, and then its socket is removed too."""
    try:
        async with asyncio.timeout(SIBLING_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await _read(reader)
            finally:
                writer.close()
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - microseconds, for what a killed process left
    except (OSError, TimeoutError) as error:
        _log.warning("Metrics of a sibling process are missing", sibling=path.stem, error=type(error).__name__)
    return b""


async def _read(reader: asyncio.StreamReader) -> bytes:
    text = bytearray()
    while piece := await reader.read(65536):
        text += piece
        if len(text) > SIBLING_BYTES:
            raise OSError("a sibling exports more than any process of ours counts")
    return bytes(text)
