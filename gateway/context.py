"""The resources a handler may use: opened once in the lifespan, reached through the request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.templating import Jinja2Templates

    from config.metrics_registry import MetricsRegistry
    from config.settings import Settings
    from gateway.auth.auth import Authenticator
    from gateway.documents.typesetter import Typesetter
    from gateway.http.keyed_locks import KeyedLocks
    from gateway.http.rate_limiter import RateLimiter
    from gateway.ops.probe import Probe
    from jobs.queue.queue import JobQueue
    from realtime.hub import Hub
    from store.accounts.flag_cache import FlagCache
    from store.accounts.membership_cache import MembershipCache
    from store.fair_share import FairShare
    from store.media.media_client import Decoder
    from store.objects.objects import ObjectStore
    from store.pool import Database


@dataclass(frozen=True)
class Context:
    """What the lifespan opened."""

    settings: "Settings"
    db: "Database"
    objects: "ObjectStore"
    decoder: "Decoder"
    typesetter: "Typesetter"
    queue: "JobQueue"
    hub: "Hub"
    flags: "FlagCache"
    memberships: "MembershipCache"
    metrics: "MetricsRegistry"
    auth: "Authenticator"
    upload_starts: "RateLimiter"
    tenant_locks: "KeyedLocks"
    probe: "Probe"
    searches: "FairShare"
    transfers: "FairShare"
    templates: "Jinja2Templates"


def context_of(connection: "HTTPConnection") -> Context:
    """Return the resources of the application that serves this connection."""
    context: Context = connection.scope["state"]["context"]
    return context
