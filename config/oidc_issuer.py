"""One issuer of OpenID Connect that people may sign in by, as OIDC_ISSUERS configures it."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class OidcIssuer(BaseModel):
    """`name` stands in addresses, `label` on the button; `issuer` is the exact identifier, as its tokens carry it.

    `trust_email` takes addresses for verified where the issuer does not say `email_verified`, as Entra ID does not. It
    is for issuers that alone decide which addresses their people have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    label: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    issuer: str
    client_id: Annotated[str, StringConstraints(min_length=1)]
    client_secret: SecretStr | None = None
    scope: str = Field("openid email profile", pattern=r"^openid( \S+)*$")
    trust_email: bool = False

    @field_validator("issuer")
    @classmethod
    def _over_tls(cls, value: str) -> str:
        if not is_safe(value):
            raise ValueError("an issuer is an https:// address")
        return value


def is_safe(address: str) -> bool:
    """Whether an address is https, or http on this machine."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )
