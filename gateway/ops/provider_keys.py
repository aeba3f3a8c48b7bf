"""Whether a key that a provider issued works, asked before it is put in force."""

import asyncio
from http import HTTPStatus

import httpx
from pydantic import SecretStr

from config.rotation import RotationError, Secret
from config.settings import Settings
from store.errors import SpineError
from store.objects.objects import ObjectStore

ASK_SECONDS = 10.0
OPENAI_URL = "https://api.openai.com/v1"


def require_working(settings: Settings, secret: Secret, new: tuple[str, ...]) -> None:
    """Pass when the provider takes the new value, or it is ours to make. Raises `RotationError`."""
    match secret.name:
        case "s3":
            works = asyncio.run(_opens_bucket(settings, *new))
        case "openai":
            works = takes_key(settings, *new)
        case _:
            works = True
    if not works:
        raise RotationError("Its provider does not take the new value; nothing was changed.")


async def _opens_bucket(settings: Settings, key_id: str, key: str) -> bool:
    keys = {"s3_access_key_id": SecretStr(key_id), "s3_secret_access_key": SecretStr(key)}
    try:
        async with asyncio.timeout(ASK_SECONDS), ObjectStore.open(settings.model_copy(update=keys)) as objects:
            await objects.ping()
    except (SpineError, OSError, TimeoutError):
        return False
    return True


def takes_key(settings: Settings, key: str) -> bool:
    """Tell whether the models' provider takes this key; not every compatible endpoint lists its models (404)."""
    url = f"{(settings.openai_base_url or OPENAI_URL).rstrip('/')}/models"
    try:
        answer = httpx.get(url, headers={"authorization": f"Bearer {key}"}, timeout=ASK_SECONDS)
    except httpx.HTTPError:
        return False
    refused = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    return answer.status_code not in refused and answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
