"""The key of operators and schedulers, for routes that belong to no tenant."""

import hmac

from starlette.requests import HTTPConnection

from config.settings import Settings


def holds_internal_key(connection: HTTPConnection, settings: Settings) -> bool:
    """Tell whether `x-internal-key`, or the Bearer token, is one of the two keys in force.

    Every key is compared in constant time, so that the time of a wrong answer tells nothing.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    given = connection.headers.get("x-internal-key") or (token.strip() if scheme.lower() == "bearer" else "")
    keys = (settings.internal_queue_key, settings.internal_queue_key_previous)
    held = [key.get_secret_value().encode() for key in keys if key is not None and key.get_secret_value()]
    return any([hmac.compare_digest(given.encode(), key) for key in held])  # noqa: C419 - all are compared
