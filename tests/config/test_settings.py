"""Settings: read once, complete or refused by name, never printed."""

import sys

import pytest
from pydantic import ValidationError

from config.settings import Settings, SettingsError, load_settings

ENOUGH = {
    "DATABASE_URL": "postgresql://gateway:hush-one@db.example.test/scopekit",
    "REDIS_URL": "redis://:hush-two@redis.example.test/0",
    "S3_ACCESS_KEY_ID": "hush-three",
    "S3_SECRET_ACCESS_KEY": "hush-four",
    "JWT_SECRETS": "hush-five-hush-five-hush-five-hush-five",
    "INTERNAL_QUEUE_KEY": "hush-six",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with just enough in it."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_complete_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    """Names are matched, lists split, defaults taken; production is the default, so the demo login is closed."""
    environment.setenv("ALLOWED_ORIGINS", "https://app.scopekit.io, https://share.scopekit.io")
    settings = load_settings()
    assert settings.environment == "production"
    assert not settings.is_local
    assert settings.allowed_origins == ("https://app.scopekit.io", "https://share.scopekit.io")
    assert settings.listen_url == ENOUGH["DATABASE_URL"]
    assert (settings.ai_fetch_ttl, settings.share_link_ttl) == (600, 300)


def test_settings_cannot_be_changed(environment: pytest.MonkeyPatch) -> None:
    """What was read at the start holds to the end."""
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize("name", sorted(set(ENOUGH) - {"JWT_SECRETS"}))
def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    """The message says which one is missing."""
    environment.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://hush-bad"),
        ("PORT", "hush-bad"),
        ("AI_FETCH_TTL", "299"),
        ("AI_FETCH_TTL", "601"),
        ("JWT_SECRETS", "hush-bad"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://hush-bad.example/path"),
        ("ALLOWED_ORIGINS", "//hush-bad"),
        ("ALLOWED_ORIGINS", "https://user@hush-bad.example"),
        ("TRUSTED_PROXIES", "127.0.0.1,hush-bad"),
        ("S3_ENDPOINT_URL", "hush-bad"),
        ("S3_PUBLIC_ENDPOINT_URL", "https://hush-bad:port"),
        ("SUPABASE_URL", "hush-bad.supabase.example"),
        ("JWT_JWKS_URL", "ftp://hush-bad.example"),
        ("OPENAI_BASE_URL", "https://[hush-bad"),
        ("SENTRY_DSN", "hush-bad"),
        ("ENVIRONMENT", "hush-bad"),
        ("ESTIMATE_ENGINE", "openai"),
    ],
)
def test_a_malformed_variable_is_refused_without_its_value(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Neither the bad value nor any other one shows in the message."""
    environment.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert name in message or "OPENAI_API_KEY" in message
    assert "hush" not in message
    assert caught.value.__context__ is None or "hush" not in str(caught.value.__context__)


def test_a_gateway_without_token_keys_starts(environment: pytest.MonkeyPatch) -> None:
    """Sessions and API keys need none; every token is refused."""
    environment.delenv("JWT_SECRETS")
    settings = load_settings()
    assert (settings.jwt_secrets, settings.jwks_url) == ((), None)
    environment.setenv("SUPABASE_URL", "https://project.supabase.example/")
    settings = load_settings()
    assert settings.jwks_url == "https://project.supabase.example/auth/v1/.well-known/jwks.json"
    assert settings.issuer == "https://project.supabase.example/auth/v1"


def test_mails_need_an_address_for_their_links(environment: pytest.MonkeyPatch) -> None:
    """A link of a mail is never made from what a request says."""
    environment.setenv("MAIL_URL", "smtp://mail.example:587")
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        load_settings()
    environment.setenv("PUBLIC_URL", "https://app.example/x")
    assert load_settings().app_origin == "https://app.example"
    environment.setenv("MAIL_URL", "https://mail.example")
    with pytest.raises(SettingsError, match="MAIL_URL"):
        load_settings()


def test_traces_without_their_library_are_refused_at_the_start(environment: pytest.MonkeyPatch) -> None:
    """Whoever sets OTLP_ENDPOINT is told of the extra, not of an import that failed."""
    environment.setenv("OTLP_ENDPOINT", "http://collector.example:4318/")
    assert load_settings().otlp_endpoint == "http://collector.example:4318"
    environment.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(SettingsError, match="OTLP_ENDPOINT: it needs the `otel` extra"):
        load_settings()


def test_secrets_hide_in_the_object_too(environment: pytest.MonkeyPatch) -> None:
    """A log line or a traceback with the settings in it gives away no key."""
    shown = repr(load_settings())
    assert not {name for name in ("hush-three", "hush-four", "hush-five", "hush-six") if name in shown}
