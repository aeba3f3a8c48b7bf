"""A tenant of a test's own: with flags, a price book, a user, a token and a browser's session."""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

import jwt

from tests.stack import JWT_SECRET

if TYPE_CHECKING:
    import asyncpg

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ALL_FLAGS = {"visits": {"enabled": True, "ai_estimation_enabled": True, "ws_progress_enabled": True}}
PRICE_BOOK = [
    ("DRY-01", "Drywall repair patch", "Drywall", "sq ft", "4.50"),
    ("ELE-01", "GFCI outlet, installed", "Electrical", "each", "145.00"),
    ("ROO-01", "Asphalt shingle roofing", "Roofing", "squares", "420.00"),
    ("ROO-02", "Seamless aluminum gutter", "Roofing", "lf", "11.25"),
    ("DEC-01", "Composite deck boards", "Decking", "sq ft", "18.75"),
    ("PAI-01", "Interior wall paint, two coats", "Painting", "sq ft", "2.10"),
    ("PLU-01", "Water heater, 50 gallon, installed", "Plumbing", "each", "1850.00"),
    ("PLU-02", "Toilet replacement", "Plumbing", "each", "395.00"),
    ("DOO-01", "Interior door, hung", "Carpentry", "each", "310.00"),
    ("LAB-01", "General labor", "Labor", "hours", "65.00"),
]


@dataclass(frozen=True)
class Tenant:
    """Ids and credentials of one tenant's user."""

    id: UUID
    user_id: UUID
    role: str = "owner"
    claims: dict[str, Any] = field(default_factory=dict)
    session: str = ""  # what the cookie of its user's browser holds

    def token(self, *, seconds: int = 3600, secret: str = JWT_SECRET, **changes: Any) -> str:
        """Sign a token that expires in `seconds`; `changes` replace claims."""
        now = int(time.time())
        return jwt.encode({**self.claims, "iat": now, "exp": now + seconds, **changes}, secret, algorithm="HS256")

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header of its user."""
        return {"authorization": f"Bearer {self.token()}"}


async def make_member(admin: Admin, tenant: Tenant, role: str = "member") -> Tenant:
    """Give the tenant another user with this role; a second tenant object that is that user."""
    user_id = uuid4()
    await admin.execute("INSERT INTO memberships VALUES ($1, $2, $3)", tenant.id, user_id, role)
    session = await open_session(admin, user_id, tenant.id)
    return replace(tenant, user_id=user_id, role=role, claims=tenant.claims | {"sub": str(user_id)}, session=session)


async def open_session(admin: Admin, user_id: UUID, tenant_id: UUID | None, *, seconds: float = 3600) -> str:
    """Insert a session that ends in `seconds`, and return what its cookie holds."""
    session_id, secret = uuid4(), secrets.token_bytes(32)
    await admin.execute(
        "INSERT INTO sessions (id, user_id, tenant_id, secret_hash, way, ends_at) "
        "VALUES ($1, $2, $3, $4, 'test', now() + make_interval(secs => $5))",
        *(session_id, user_id, tenant_id, hashlib.sha256(secret).digest(), seconds),
    )
    return base64.urlsafe_b64encode(session_id.bytes + secret).decode()


async def session_of_token(admin: Admin, token: str) -> str:
    """Return a session of a token's user and tenant that ends with the token."""
    claims = jwt.decode(token, options={"verify_signature": False})
    tenant_id = UUID(claims["app_metadata"]["tenant_id"])
    return await open_session(admin, UUID(claims["sub"]), tenant_id, seconds=claims["exp"] - time.time())


async def make_operator(admin: Admin, tenant: Tenant) -> Tenant:
    """Make an operator, who is also a member of a tenant and has no other right there."""
    operator = await make_member(admin, tenant)
    await admin.execute("INSERT INTO operators (user_id) VALUES ($1)", operator.user_id)
    return operator


async def make_tenant(admin: Admin, *, flags: dict[str, Any] | None = None, signed_in: bool = True) -> Tenant:
    """Insert a tenant with settings, an owner and the small price book."""
    tenant_id, user_id = uuid4(), uuid4()
    await admin.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant_id, f"Tenant {tenant_id.hex[:8]}")
    await admin.execute(
        "INSERT INTO tenant_settings (tenant_id, feature_flags, currency, tax_rate, profile) "
        "VALUES ($1, $2, 'USD', 0.0825, $3)",
        tenant_id,
        ALL_FLAGS if flags is None else flags,
        {"business_name": "Harbor & Pine Builders", "phone": "+1 555 0100", "address": "12 Quay Street"},
    )
    await admin.execute("INSERT INTO memberships VALUES ($1, $2, 'owner')", tenant_id, user_id)
    await admin.executemany(
        "INSERT INTO price_items (tenant_id, code, description, category, unit, unit_price) "
        "VALUES ($1, $2, $3, $4, $5, $6::text::numeric)",
        [(tenant_id, *item) for item in PRICE_BOOK],
    )
    claims = {
        "sub": str(user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "app_metadata": {"tenant_id": str(tenant_id)},
    }
    session = await open_session(admin, user_id, tenant_id) if signed_in else ""
    return Tenant(tenant_id, user_id, "owner", claims, session)
