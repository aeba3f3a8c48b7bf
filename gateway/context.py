"""The resources a handler may use: opened once in the lifespan, reached through the request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from starlette.requests import HTTPConnection
    from starlette.templating import Jinja2Templates

    from config.metrics_registry import MetricsRegistry
    from config.settings import Settings
    from gateway.auth.principal import Principal
    from gateway.auth.providers.oidc_provider import OidcProvider
    from gateway.auth.providers.supabase_auth import SupabaseAuth
    from gateway.auth.token_user import TokenUsers
    from gateway.http.limits.cost_limits import CostLimits
    from gateway.http.limits.keyed_locks import KeyedLocks
    from gateway.http.limits.rate_limiter import RateLimiter
    from jobs.queue.queue import JobQueue
    from realtime.hub import Hub
    from store.accounts.membership_cache import MembershipCache
    from store.accounts.session_cache import ApiKeyCache, SessionCache
    from store.fair_share import FairShare
    from store.limits.shared_limits import SharedLimits
    from store.media.decoder.media_client import Decoder
    from store.objects.objects import ObjectStore
    from store.ops.presence import Presence
    from store.pool import Database, Record
    from store.tenants.flag_cache import FlagCache


class Verifier(Protocol):
    """Verifies tokens: `gateway.auth.auth.Authenticator`."""

    async def verify(self, token: str) -> "Principal":
        """Return the token's principal. Raises `Unauthenticated`."""


class Typesetter(Protocol):
    """Sets documents in type: `store.documents.typesetter`."""

    async def set(self, values: "Mapping[str, Any]", pictures: "Mapping[str, bytes]", *, tenant: "Hashable") -> bytes:
        """Return the PDF. Raises `TooMany`, `Unavailable`."""


class Probe(Protocol):
    """Checks whether the gateway's dependencies answer: `gateway.ops.probe`."""

    async def database(self) -> bool:
        """Whether the database answers."""

    async def storage(self) -> bool:
        """Whether the object store answers."""

    async def queue(self) -> "tuple[Record, list[dict[str, Any]]] | None":
        """Return how the queue stands, None when nobody answers."""


@dataclass(frozen=True)
class Context:
    """The resources that the lifespan opened."""

    settings: "Settings"
    db: "Database"
    objects: "ObjectStore"
    decoder: "Decoder"
    typesetter: Typesetter
    queue: "JobQueue"
    hub: "Hub"
    flags: "FlagCache"
    memberships: "MembershipCache"
    sessions: "SessionCache"
    api_keys: "ApiKeyCache"
    metrics: "MetricsRegistry"
    auth: Verifier
    limits: "SharedLimits"
    costs: "CostLimits"
    passcodes: "FairShare"
    upload_starts: "RateLimiter"
    tenant_locks: "KeyedLocks"
    probe: Probe
    presence: "Presence"
    searches: "FairShare"
    transfers: "FairShare"
    oidc_providers: "Mapping[str, OidcProvider]"
    supabase: "SupabaseAuth | None"
    token_users: "TokenUsers"
    templates: "Jinja2Templates"


def context_of(connection: "HTTPConnection") -> Context:
    """Return the resources of the application that serves this connection."""
    context: Context = connection.scope["state"]["context"]
    return context
