"""Opens the engine that the settings name."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.engines.openai.engine import OpenAIEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from config.settings import Settings
    from jobs.kinds.estimate.engines.base import Engine


@asynccontextmanager
async def open_engine(settings: Settings) -> AsyncIterator[Engine]:
    """Lend the engine of `ESTIMATE_ENGINE` and close it afterwards."""
    remote = settings.estimate_engine == "openai"
    engine: Engine = OpenAIEngine.of(settings) if remote else LocalEngine(settings.speech_model)
    try:
        yield engine
    finally:
        await engine.aclose()
