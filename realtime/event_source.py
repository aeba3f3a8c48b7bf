"""The source of live events that the settings name: NOTIFY, or the event bus."""

from config.settings import Settings
from realtime.bus.bus import Bus
from realtime.feed.notify import Notify
from realtime.feed.source import Source, SourceCallbacks
from store.pool import Database


def open_source(settings: Settings, db: Database, callbacks: SourceCallbacks) -> Source:
    """Return the source that the settings name."""
    if settings.event_bus == "redis":
        return Bus(db, settings.listen_url, settings.event_bus_url, callbacks)
    return Notify(db, settings.listen_url, callbacks)
