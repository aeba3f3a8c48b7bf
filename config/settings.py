"""The only reader of the environment: one frozen object, read once by each process at its start."""

import os
import re
from decimal import Decimal
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    HttpUrl,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.flags import Flag
from config.oidc_issuer import OidcIssuer
from config.secrets_file import read_secrets


class SettingsError(Exception):
    """The environment is not fit to start with; the message names variables and never a value."""


def _comma_list(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _without_trailing_slash(value: Any) -> Any:
    return value.rstrip("/") if isinstance(value, str) else value


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its message may quote the value
        return False


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:  # its message quotes the value
        return False
    return True


# Any scheme: the app in a phone's web view is `capacitor://localhost`.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#*@\s]+")
_PRICE = re.compile(r"[^=/\s]+\s*=\s*\d+(\.\d+)?(\s*/\s*\d+(\.\d+)?)?")
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every setting, by the name of its variable in lower case; the README's table is held to it by a test."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    environment: Literal["local", "test", "staging", "production"] = Field(
        "production", description="Where this runs; `local` opens the demo login and nothing else does."
    )
    function_name: str = Field("gateway", description="Tag on every log line and Sentry event.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level logged.")
    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the gateway listens on.")
    trusted_proxies: Names = Field(
        ("127.0.0.1",),
        description="Comma list of addresses and networks of proxies whose X-Forwarded-For and -Proto are believed.",
    )
    listen_fds: int = Field(
        0, ge=0, le=1, description="Set by systemd: 1 where it hands over the socket to listen on, which outlives us."
    )
    listen_pid: int | None = Field(None, description="Set by systemd: the process the socket is for.")
    public_url: HttpUrl | None = Field(
        None,
        description="Origin in share links, such as `https://share.example.com`; else the request's own.",
    )
    sign_up: Literal["invite", "open", "closed"] = Field(
        "invite",
        description="Who may make an account: the invited, everybody, or only people the command line invites.",
    )
    passkeys: bool = Field(default=True, description="Whether people may sign in by passkeys of their own.")
    company_flags: Names = Field(
        ("visits.enabled", "visits.ai_estimation_enabled", "visits.ws_progress_enabled"),
        description="Comma list of the flags that are on for a new company.",
    )
    mail_url: SecretStr | None = Field(
        None, description="SMTP server, such as `smtp://user:password@host:587` or `smtps://...`; needs PUBLIC_URL."
    )
    mail_dir: Path | None = Field(None, description="Set by `make run`: where caught mails lie that `/dev/mail` shows.")
    mail_from: str = Field("ScopeKit <no-reply@localhost>", description="Sender of mails.")
    mails_per_day: int = Field(200, ge=1, description="Mails to customers that a company may send in a day.")
    allowed_origins: Names = Field((), description="Comma list of origins that browsers may call from (CORS).")
    secrets_file: Path | None = Field(
        None,
        description="File of the secrets that rotate; what it holds wins over the environment.",
    )
    drain_seconds: float = Field(5.0, ge=0, le=60, description="Window over which open streams are closed on SIGTERM.")

    database_url: PostgresDsn = Field(description="PostgreSQL as the gateway's login, which cannot bypass RLS.")
    database_listen_url: PostgresDsn | None = Field(
        None, description="Direct connection for LISTEN where DATABASE_URL is a transaction pooler."
    )
    database_worker_url: PostgresDsn | None = Field(
        None, description="PostgreSQL as the worker's login, which may act as service_role."
    )
    database_admin_url: PostgresDsn | None = Field(
        None,
        description="Owner of the schema; `migrate` and `seed` write by it, `doctor` and `deploy check` read.",
    )
    database_pool_size: int = Field(
        10, ge=2, le=200, description="Connections a process may hold open; the gateway has two more for health."
    )
    database_pooled: bool = Field(
        default=False, description="True behind a transaction pooler: no prepared statements are kept."
    )
    redis_url: RedisDsn = Field(description="Redis or Valkey for the queue's doorbell.")
    event_bus: Literal["notify", "redis"] = Field(
        "notify", description="How events reach gateways: `notify` of the database, or by a stream in `redis`."
    )
    bus_url: RedisDsn | None = Field(None, description="Redis or Valkey of the event bus, where it is not REDIS_URL.")

    s3_endpoint_url: str | None = Field(None, description="S3 endpoint; empty for AWS itself.")
    s3_public_endpoint_url: str | None = Field(
        None, description="The endpoint as browsers reach it, for signed URLs, where it differs."
    )
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_bucket: str = Field("site-visits", description="Private bucket of all media.")
    s3_originals_bucket: str = Field(
        "",
        description="Private bucket of files that came as another type; empty is S3_BUCKET with `-originals`.",
    )
    s3_access_key_id: SecretStr = Field(description="S3 access key id.")
    s3_secret_access_key: SecretStr = Field(description="S3 secret key.")
    tenant_media_bytes: int = Field(
        53_687_091_200,
        ge=1,
        description="What one tenant's media may take in all, unless `tenant_settings.limits` says `media_bytes`.",
    )
    derivatives_ahead: bool = Field(
        default=True,
        description="False: photos' JPEGs are made when somebody first looks, not by workers as the photos come.",
    )
    ai_fetch_ttl: int = Field(600, ge=300, le=600, description="Seconds a URL signed for a model stays valid.")
    share_link_ttl: int = Field(300, ge=30, le=300, description="Seconds a customer's media URL stays valid.")
    share_media_proxy: bool = Field(
        default=False,
        description="True: customers' photos come through the gateway and end with the session, not the URL.",
    )

    heartbeat_seconds: float = Field(
        30, ge=5, le=30, description="Seconds between a stream's heartbeats; 15 behind a proxy that cuts at 30."
    )

    supabase_url: str | None = Field(None, description="Supabase project; gives issuer and JWKS when they are not set.")
    supabase_anon_key: SecretStr | None = Field(
        None, description="Public key of the Supabase project; with it people sign in here by their Supabase account."
    )
    supabase_providers: Names = Field(
        (), description="Comma list of the project's social providers to offer, such as `google,azure`."
    )
    oidc_issuers: tuple[OidcIssuer, ...] = Field(
        (),
        description="JSON list of OpenID Connect issuers: name, label, issuer, client_id, client_secret, trust_email.",
    )
    supabase_service_role_key: SecretStr | None = Field(
        None,
        description="Kept for tools beside us that call Supabase; the spine itself uses database logins.",
    )
    jwt_secrets: Secrets = Field((), description="Comma list of HS256 secrets, newest first; all are accepted.")
    jwt_jwks_url: str | None = Field(None, description="JWKS for RS256, ES256 and EdDSA tokens.")
    jwt_issuer: str | None = Field(
        None, description="Required `iss`; not checked when neither it nor SUPABASE_URL is set."
    )
    jwt_audience: str = Field("authenticated", description="Required `aud`.")
    internal_queue_key: SecretStr = Field(description="Key of the queue-processor trigger.")
    internal_queue_key_previous: SecretStr | None = Field(None, description="Still accepted during a rotation.")

    estimate_engine: Literal["local", "openai"] = Field("local", description="Which engine makes estimates.")
    estimate_preload: bool = Field(
        default=True,
        description="Load the `local` engine's models at the worker's start, not at the first recording.",
    )
    speech_model: Literal["tiny.en", "base"] = Field(
        "tiny.en",
        description="What the `local` engine hears with. `base` hears better, and Spanish, for about twice the CPU; "
        "it needs `deploy/speech-base.lock`.",
    )
    openai_api_key: SecretStr | None = Field(None, description="Needed by the `openai` engine.")
    openai_base_url: str | None = Field(None, description="Any OpenAI-compatible endpoint.")
    openai_model: str = Field("gpt-5.2", description="Model that looks at photos and drafts.")
    openai_api: Literal["responses", "chat"] = Field(
        "responses",
        description="`responses`, or `chat` for endpoints that answer by a JSON schema in chat/completions.",
    )
    openai_transcribe_model: str = Field(
        "gpt-4o-transcribe", description="Model that transcribes; where it gives no times, quotes have none."
    )
    openai_transcribe_base_url: str | None = Field(None, description="Endpoint for transcription, if another one.")
    openai_transcribe_api_key: SecretStr | None = Field(None, description="Key of that endpoint, if another one.")
    openai_prices: Names = Field(
        (),
        description="USD by model, comma list: `gpt-5.2=1.75/14` a million tokens in/out, `whisper-1=0.006` a minute.",
    )
    openai_timeout_seconds: float = Field(120, gt=0, le=600, description="Deadline of one model call.")
    model_budget_per_job: Decimal | None = Field(
        None, ge=0, description="USD that the model calls of one estimate may cost; needs OPENAI_PRICES."
    )
    model_budget_per_month: Decimal | None = Field(
        None, ge=0, description="USD a tenant's model calls may cost in a month; `tenant_settings` may say otherwise."
    )
    worker_concurrency: int = Field(2, ge=1, le=100, description="Jobs one worker process runs at once.")
    tenant_concurrency: int | None = Field(
        None, ge=1, description="Jobs of one tenant that may run at once, where its settings say nothing else."
    )

    analytics_url: str | None = Field(None, description="Where analytics events are POSTed; unset keeps them here.")
    analytics_key: SecretStr | None = Field(None, description="Bearer token for ANALYTICS_URL.")
    analytics_secret: SecretStr | None = Field(
        None, description="Secret (`whsec_...`) that signs what goes to ANALYTICS_URL; unset sends no signature."
    )
    webhook_networks: Names = Field(
        (),
        description="Comma list of networks that companies' webhooks may reach though they are private; also by http.",
    )
    metrics_dir: str | None = Field(
        None, max_length=70, description="Directory in which this machine's processes tell each other their metrics."
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of HOST on which a worker tells its metrics, and those of METRICS_DIR, to whoever asks.",
    )
    otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP collector for traces, such as `http://localhost:4318`; needs the `otel` extra."
    )
    trace_ratio: float = Field(1.0, ge=0, le=1, description="Share of visits whose work is traced.")
    sentry_dsn: SecretStr | None = Field(None, description="Sentry project; unset sends nothing.")

    @model_validator(mode="before")
    @classmethod
    def _with_secrets(cls, values: dict[str, Any]) -> dict[str, Any]:
        path = values.get("secrets_file")
        if not path:
            return values
        return values | {name.lower(): value for name, value in read_secrets(Path(path)).items()}

    _lists = field_validator(
        "allowed_origins",
        "trusted_proxies",
        "webhook_networks",
        "jwt_secrets",
        "openai_prices",
        "company_flags",
        "supabase_providers",
        mode="before",
    )(_comma_list)
    _urls = field_validator(
        *("supabase_url", "s3_endpoint_url", "s3_public_endpoint_url", "otlp_endpoint"), mode="before"
    )(_without_trailing_slash)

    @field_validator("jwt_secrets")
    @classmethod
    def _long_enough(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # RFC 7518 3.2: an HS256 key has at least the 256 bits of the hash.
        if any(len(secret.get_secret_value().encode()) < 32 for secret in secrets):  # noqa: PLR2004
            raise ValueError("each secret needs at least 32 bytes")
        return secrets

    @field_validator(
        *("s3_endpoint_url", "s3_public_endpoint_url", "supabase_url", "jwt_jwks_url", "openai_base_url", "sentry_dsn"),
        "openai_transcribe_base_url",
        *("analytics_url", "otlp_endpoint"),
    )
    @classmethod
    def _web_address(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not _is_web_address(text):
            raise ValueError("it must be an address such as https://host.example")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _needs_extra(cls, value: str | None) -> str | None:
        if value is not None and find_spec("opentelemetry") is None:
            raise ValueError("it needs the `otel` extra, which is not installed")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _exact_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("each origin is scheme://host[:port], without * or path")
        return origins

    @field_validator("trusted_proxies", "webhook_networks")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_is_network, proxies)):
            raise ValueError("each is an address or a network such as 10.0.0.0/8")
        return proxies

    @field_validator("company_flags")
    @classmethod
    def _known_flags(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not set(names) <= set(Flag):
            raise ValueError(f"each is one of {', '.join(Flag)}")
        return names

    @field_validator("oidc_issuers")
    @classmethod
    def _names_differ(cls, issuers: tuple[OidcIssuer, ...]) -> tuple[OidcIssuer, ...]:
        if len({issuer.name for issuer in issuers}) < len(issuers):
            raise ValueError("each issuer has a name of its own")
        return issuers

    @field_validator("supabase_providers")
    @classmethod
    def _provider_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) for name in names):
            raise ValueError("each is a provider's name as Supabase spells it, such as google")
        return names

    @field_validator("mail_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"smtps?://[^\s/?#]+/?", value.get_secret_value()):
            raise ValueError("it must be smtp://user:password@host:port or smtps://...")
        return value

    @field_validator("analytics_secret")
    @classmethod
    def _signing_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,86}={0,2}", value.get_secret_value()):
            raise ValueError("it must be whsec_ and 24 to 64 bytes in base64")
        return value

    @field_validator("openai_prices")
    @classmethod
    def _prices(cls, prices: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_PRICE.fullmatch(price) for price in prices):
            raise ValueError("each is MODEL=INPUT/OUTPUT or MODEL=MINUTE, such as gpt-5.2=1.75/14")
        return prices

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mail_url is not None and self.public_url is None and not self.is_local:
            raise ValueError("MAIL_URL needs PUBLIC_URL: mails carry links to it")
        if self.estimate_engine == "openai" and self.openai_api_key is None:
            raise ValueError("set OPENAI_API_KEY, or ESTIMATE_ENGINE=local")
        if self._is_budgeted and self._unpriced:
            raise ValueError("a budget needs OPENAI_PRICES for OPENAI_MODEL and OPENAI_TRANSCRIBE_MODEL")
        return self

    @property
    def _is_budgeted(self) -> bool:
        limits = (self.model_budget_per_job, self.model_budget_per_month)
        return self.estimate_engine == "openai" and any(limit is not None for limit in limits)

    @property
    def _unpriced(self) -> set[str]:
        priced = {price.partition("=")[0].strip() for price in self.openai_prices}
        return {self.openai_model, self.openai_transcribe_model} - priced

    @property
    def app_origin(self) -> str:
        """The origin of the links in mails."""
        if self.public_url is None:
            return f"http://127.0.0.1:{self.port}"
        parts = urlsplit(str(self.public_url))
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def jwks_url(self) -> str | None:
        """Where asymmetric keys are published: JWT_JWKS_URL, else Supabase's own place."""
        if self.jwt_jwks_url or not self.supabase_url:
            return self.jwt_jwks_url
        return f"{self.supabase_url}/auth/v1/.well-known/jwks.json"

    @property
    def issuer(self) -> str | None:
        """The `iss` a token must carry, or None when it is not checked."""
        if self.jwt_issuer or not self.supabase_url:
            return self.jwt_issuer
        return f"{self.supabase_url}/auth/v1"

    @property
    def media_origin(self) -> str:
        """The origins of the media store for browsers: a page's content security policy allows them."""
        endpoint = self.s3_public_endpoint_url or self.s3_endpoint_url
        return endpoint or f"https://*.s3.{self.s3_region}.amazonaws.com"

    @property
    def inherits_socket(self) -> bool:
        """Whether descriptor 3 is the socket to listen on (sd_listen_fds)."""
        return self.listen_fds == 1 and self.listen_pid == os.getpid()

    @property
    def listen_url(self) -> str:
        """The direct connection for LISTEN."""
        return str(self.database_listen_url or self.database_url)

    @property
    def event_bus_url(self) -> str:
        """The server of the event bus."""
        return str(self.bus_url or self.redis_url)

    @property
    def worker_url(self) -> str:
        """The worker's own login, else the one there is."""
        return str(self.database_worker_url or self.database_url)

    @property
    def admin_url(self) -> str:
        """The schema's owner, else the one login there is."""
        return str(self.database_admin_url or self.database_url)

    @property
    def is_local(self) -> bool:
        """Whether this is a developer's own machine, where the demo login is open."""
        return self.environment == "local"


def local_env_file() -> Path | None:
    """Return the variables `make run` keeps for a local stack, where there is one and no DATABASE_URL is set."""
    kept = Path(os.environ.get("SCOPEKIT_DIR") or ".scopekit") / "env"
    return kept if not os.environ.get("DATABASE_URL") and kept.is_file() else None


def load_settings(**overrides: Any) -> Settings:
    """Read the environment once.

    Raises `SettingsError`, which names each missing or malformed variable and the fault, never its value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [_explain(item["loc"], item["type"], item["msg"]) for item in error.errors(include_input=False)]
    raise SettingsError("The environment is incomplete:\n" + "\n".join(f"  {problem}" for problem in problems))


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(location[0]).upper() if location else "settings"
    if kind == "missing":
        return f"{name} is not set; the README's configuration table says what it is."
    return f"{name}: {message.removeprefix('Value error, ')}"
