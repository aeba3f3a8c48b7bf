"""Log lines: JSON, one shape, a correlation id on each."""

import json
import subprocess
import sys
from typing import Any

SCRIPT = """
import logging, warnings
from config.logging import bind, configure_logging, get_logger
configure_logging(level="info", function="worker")
log = get_logger("ours")
log.info("alone", attempt=1)
with bind(correlation_id="c-1", tenant_id="t-1", job_id="j-1", visit_id=None):
    log.info("inside", attempt=2)
    logging.getLogger("arq.worker").warning("theirs %s", "too")
    logging.getLogger("httpx").info("GET https://store.example/secret?signature=x")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
log.debug("below the level")
warnings.warn("something is old")
logging.getLogger("asyncpg.pool").error("a library's own trouble")
raise RuntimeError("nobody caught this")
"""


def _lines() -> list[dict[str, Any]]:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60)
    assert run.stderr == ""
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_every_line_has_the_same_shape() -> None:
    """timestamp, level, message, correlation_id and function on top, known ids beside them, the rest as metadata."""
    alone, inside, theirs, failed, warned, library, crashed = lines = _lines()
    for line in lines:
        assert {"timestamp", "level", "message", "correlation_id", "function"} <= set(line)
        assert line["function"] == "worker"
        assert line["timestamp"].endswith("Z")
    assert alone["correlation_id"].startswith("process-")
    assert (inside["correlation_id"], inside["tenant_id"], inside["job_id"]) == ("c-1", "t-1", "j-1")
    assert "visit_id" not in inside
    assert inside["metadata"]["attempt"] == 2
    assert (theirs["message"], theirs["level"], theirs["correlation_id"]) == ("theirs too", "warning", "c-1")
    assert "ZeroDivisionError" in failed["metadata"]["exception"]
    assert (warned["level"], "something is old" in warned["message"]) == ("warning", True)
    assert (library["level"], library["message"]) == ("error", "a library's own trouble")
    assert (crashed["level"], crashed["message"]) == ("critical", "Nobody caught an error")
    assert "nobody caught this" in crashed["metadata"]["exception"]
