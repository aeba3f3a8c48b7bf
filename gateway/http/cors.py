"""Which sites' scripts may read our answers, and what they may send: for the framework's answers, and for streams."""

from collections.abc import Collection

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway.http.middleware import CORRELATION_HEADER

_ALLOWED_HEADERS = (
    *("authorization", "x-client-info", "apikey", "content-type", "x-sequence", "x-duration-ms"),  # the runbook's
    *(
        "x-media-id",
        "x-file-name",
        "x-label",
        "last-event-id",
        "idempotency-key",
        "if-match",
        "if-none-match",
        CORRELATION_HEADER,
    ),
    *("tus-resumable", "upload-length", "upload-offset", "upload-metadata", "upload-checksum"),
    *("x-http-method-override", "x-request-id"),  # tus clients' own
    "x-company-id",  # of a caller who belongs to several
    *("cache-control", "x-region"),  # EventSource polyfills' and supabase-js's
    *("traceparent", "tracestate", "baggage", "sentry-trace"),  # tracing in the browser
)
_EXPOSED_HEADERS = (
    *(CORRELATION_HEADER, "etag", "link", "location", "retry-after", "www-authenticate"),
    *("idempotency-replayed", "ratelimit", "ratelimit-policy", "deprecation", "sunset"),
    *("tus-resumable", "tus-version", "tus-extension", "tus-max-size", "tus-checksum-algorithm"),
    *("upload-offset", "upload-length", "upload-expires", "upload-metadata"),
)
_METHODS = ("GET", "POST", "PUT", "PATCH", "HEAD", "DELETE", "OPTIONS")
_MAX_AGE_SECONDS = 86400


def cors(origins: Collection[str]) -> Middleware:
    """Make the middleware that lets these sites in; `*` is all of them."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        # For `withCredentials`. With `*` any site could ride on the session's cookie.
        allow_credentials="*" not in origins,
        allow_methods=_METHODS,
        allow_headers=_ALLOWED_HEADERS,
        expose_headers=_EXPOSED_HEADERS,
        max_age=_MAX_AGE_SECONDS,
    )


def stream_cors(origin: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that let one site read a stream; `*` is all of them."""
    allowed = [(b"access-control-allow-origin", origin.encode("latin-1"))]
    credentials = [] if origin == "*" else [(b"access-control-allow-credentials", b"true")]
    return [*allowed, *credentials, (b"access-control-expose-headers", CORRELATION_HEADER.encode())]
