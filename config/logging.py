"""JSON log lines, one shape for ours and the libraries': timestamp, level, message, correlation_id, ids, metadata."""

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, TextIO
from uuid import uuid4

import orjson
import structlog

# On top of every line where they are known; anything else a caller adds goes under `metadata`.
_TOP = ("timestamp", "level", "message", "correlation_id", "function")
_IDS = ("tenant_id", "user_id", "visit_id", "job_id")
# Lines outside a request or a job carry this process's own id, so that no line is without one.
_PROCESS_ID = f"process-{uuid4()}"

Event = MutableMapping[str, Any]


def configure_logging(*, level: str, function: str, to: TextIO | None = None) -> None:
    """Send every logger of this process, the libraries' too, as JSON lines to stdout, or where its answers are not."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]

    def shape(_logger: Any, _method: str, event: Event) -> Event:
        event.setdefault("correlation_id", _PROCESS_ID)
        event["function"] = function
        return _shape(event)

    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # last: an error report wants the exception itself
            shape,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
    )
    _take_every_line(formatter, to or sys.stdout, level.upper())


def _take_every_line(formatter: logging.Formatter, to: TextIO, level: str) -> None:
    """Make this the one handler of the process: for our loggers, the libraries', warnings and crashes."""
    handler = logging.StreamHandler(to)
    handler.setFormatter(formatter)
    # No line tells file, thread or process, and finding the caller takes a quarter of a line's 40 us.
    logging._srcfile = None  # noqa: SLF001 - as the logging HOWTO has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "arq"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    threading.excepthook = lambda lost: _log_crash(lost.exc_type, lost.exc_value, lost.exc_traceback)
    # Its lines at `info` name every request with its address, signed URLs and tokens included.
    for name in ("httpx", "httpcore", "botocore", "aiobotocore", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; values bound by `bind` appear on its lines."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bind(**ids: object) -> AbstractContextManager[None]:
    """Put ids (correlation_id, tenant_id, user_id, visit_id, job_id) on every line inside the `with`."""
    return structlog.contextvars.bound_contextvars(**_texts(ids))


def context_with(**ids: object) -> Context:
    """Return a copy of the context at hand that has these ids on every line, for tasks to run in."""
    context = copy_context()
    context.run(structlog.contextvars.bind_contextvars, **_texts(ids))
    return context


def _texts(ids: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in ids.items() if value is not None}


def note(**ids: object) -> None:
    """Put ids on every later line of the request at hand; names that no line has on top are passed over."""
    structlog.contextvars.bind_contextvars(**{name: str(value) for name, value in ids.items() if name in _IDS})


def correlation_id() -> str:
    """Return the id of the request or job at hand, else this process's own."""
    return bound_correlation_id() or _PROCESS_ID


def bound_correlation_id() -> str | None:
    """Return the id of the request or job at hand, None outside of one."""
    bound: str | None = structlog.contextvars.get_contextvars().get("correlation_id")
    return bound


def _log_crash(kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    """Log a crash of the process, or of one of its threads, as one line like any other; Ctrl-C is no crash."""
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("crash").critical("Nobody caught an error", exc_info=error)


def _shape(event: Event) -> Event:
    line: dict[str, Any] = {"message": event.pop("event", "")}
    for name in (*_TOP, *_IDS):
        if name in event:
            line[name] = event.pop(name)
    return line | {"metadata": dict(event)} if event else line


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
