"""The fields of draft-ietf-httpapi-ratelimit-headers: the rest of a limit, on every answer that it counts.

A limit tells its rest by `note`, and the middleware writes it into the head of the answer under way. A refusal
brings its own.
"""

from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store.errors import RatePolicy

_NAME = b"ratelimit"
# What the request under way has left of each limit: (requests, seconds until all are there again).
_noted: ContextVar[dict[RatePolicy, tuple[int, int]] | None] = ContextVar("rate_limits", default=None)


def note(policy: RatePolicy, left: int, seconds: int) -> None:
    """Note the rest of a limit for the request under way, and in how many seconds all of it is there again."""
    noted = _noted.get()
    if noted is not None:
        noted[policy] = (left, seconds)


def field_of(policy: RatePolicy | None, left: int, seconds: int) -> str:
    """Write RateLimit for a limit; one without a policy is called `default`."""
    return f'"{policy.name if policy else "default"}";r={left};t={seconds}'


def policy_of(policy: RatePolicy) -> str:
    """Write RateLimit-Policy for a limit."""
    return f'"{policy.name}";q={policy.quota};w={policy.window}'


class RateLimitFields:
    """Writes the rest of a request's limits into its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; an answer that has the fields already keeps its own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        noted: dict[RatePolicy, tuple[int, int]] = {}

        async def with_fields(message: Message) -> None:
            if noted and message["type"] == "http.response.start" and not _has_fields(message):
                left = ", ".join(field_of(policy, *one) for policy, one in noted.items())
                policies = ", ".join(map(policy_of, noted))
                fields = [(_NAME, left.encode()), (b"ratelimit-policy", policies.encode())]
                message["headers"] = [*message["headers"], *fields]
            await send(message)

        before = _noted.set(noted)
        try:
            await self._app(scope, receive, with_fields)
        finally:
            _noted.reset(before)


def _has_fields(message: Message) -> bool:
    return any(name.lower() == _NAME for name, _ in message["headers"])
