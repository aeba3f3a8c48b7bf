"""The ASGI application: every route, under the middleware of all of them."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from config.metrics_registry import MetricsRegistry
from config.settings import Settings
from gateway import catalogue
from gateway.accounts import bin_page, company_settings, invitations, keys, lists, people, setup, you
from gateway.accounts.sign_in import email_code, oidc, passkeys, sign_in, supabase
from gateway.auth import me
from gateway.documents import branding
from gateway.estimates import estimates, price_items
from gateway.http.cors import cors
from gateway.http.deprecation import DeprecatedAddresses
from gateway.http.errors import HANDLERS, UnhandledErrorMiddleware
from gateway.http.http_metrics import HttpMetrics
from gateway.http.input.query import KnownParameters
from gateway.http.limits.rate_limit_fields import RateLimitFields
from gateway.http.middleware import Correlation, SecurityHeaders
from gateway.http.tracing import Tracing
from gateway.lifespan import lifespan_of
from gateway.ops import health, metrics
from gateway.ops import page as ops_page
from gateway.pages import demo, demo_progress, dev_mail, pages, problems, shell
from gateway.progress import multi_stream, tenant_stream, visit_stream
from gateway.progress.app import StreamApp
from gateway.shares import mails as share_mails
from gateway.shares import page as share_page
from gateway.shares import preview, shares
from gateway.shares import qr as share_qr
from gateway.uploads import media, recordings, uploads
from gateway.uploads.tus import routes as tus_routes
from gateway.visits import changes, deleted, jobs, visits
from gateway.webhooks import endpoints as webhook_endpoints
from gateway.webhooks import page as webhook_page

# Routes are tried in order: what is asked for most comes first.
_MODULES = (
    visit_stream,
    health,
    me,
    demo,
    demo_progress,
    dev_mail,
    visits,
    deleted,
    uploads,
    tus_routes,
    recordings,
    media,
    jobs,
    changes,
    webhook_endpoints,
    multi_stream,
    tenant_stream,
    estimates,
    price_items,
    branding,
    shares,
    share_mails,
    share_qr,
    preview,
    share_page,
    sign_in,
    email_code,
    passkeys,
    invitations,
    oidc,
    supabase,
    setup,
    people,
    keys,
    lists,
    webhook_page,
    company_settings,
    you,
    bin_page,
    ops_page,
    problems,
    shell,
    catalogue,
    pages,
)


def create_app(settings: Settings) -> Starlette:
    """Build the gateway for these settings; nothing is opened before its lifespan starts."""
    metrics_registry = MetricsRegistry(settings)
    return Starlette(
        routes=all_routes(),
        middleware=middleware(settings, HttpMetrics(metrics_registry.registry)),
        exception_handlers=HANDLERS,
        lifespan=lifespan_of(settings, metrics_registry),
    )


def all_routes() -> list[BaseRoute]:
    """Return every route of the product."""
    return [*metrics.routes(), *(route for module in _MODULES for route in module.routes)]


def middleware(settings: Settings, http_metrics: HttpMetrics) -> list[Middleware]:
    """Order them outermost first: an error must still carry CORS headers, or a browser hides it from the page."""
    traced = [] if settings.otlp_endpoint is None else [Middleware(Tracing)]
    shaping = [
        cors(settings.allowed_origins),
        Middleware(SecurityHeaders, content_security_policy=content_security_policy(settings)),
        Middleware(DeprecatedAddresses),
        Middleware(RateLimitFields),
        Middleware(UnhandledErrorMiddleware),
    ]
    streams = Middleware(StreamApp, origins=settings.allowed_origins, shaping=shaping)
    return [
        Middleware(Correlation, metrics=http_metrics),
        *traced,
        streams,
        *shaping,
        Middleware(KnownParameters, known=catalogue.known_parameters),
    ]


def content_security_policy(settings: Settings) -> str:
    """Allow our own origin, and the store for photos, audio and direct uploads; nothing inline, nobody else."""
    store = settings.media_origin
    return "; ".join(
        (
            "default-src 'self'",
            f"img-src 'self' blob: data: {store}",
            f"media-src 'self' blob: {store}",
            f"connect-src 'self' {store}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
