"""`scopekit bucket`: the private buckets of all media, made and opened to the browsers that post to them."""

import asyncio

import typer

from config.settings import Settings
from gateway.cli.common import DryRun, Json, environment, report_failures, say
from store.objects.objects import ObjectStore

app = typer.Typer(no_args_is_help=True, help="Make the buckets of media.")


@app.callback()
def _group() -> None:
    """Make the buckets of media."""


@app.command()
def create(*, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Make S3_BUCKET and S3_ORIGINALS_BUCKET where they are missing, and let browsers post forms to them (CORS).

    Pages of ALLOWED_ORIGINS and PUBLIC_URL may. Safe to repeat. Needs keys that may make buckets and set CORS rules.
    """
    settings = environment()
    origins = _origins(settings)
    if not dry_run:
        with report_failures("The bucket was not made"):
            asyncio.run(_create(settings, origins))
    word = "would create" if dry_run else "ready:"
    allowed = ", ".join(origins) or "no origin, for ALLOWED_ORIGINS and PUBLIC_URL are empty"
    found = {"bucket": settings.s3_bucket, "origins": origins, "done": not dry_run}
    say(found, f"{word} {settings.s3_bucket}; browsers may post from {allowed}", as_json=as_json)


def _origins(settings: Settings) -> list[str]:
    own = [] if settings.public_url is None else [str(settings.public_url).rstrip("/")]
    return sorted({*settings.allowed_origins, *own})


async def _create(settings: Settings, origins: list[str]) -> None:
    async with ObjectStore.open(settings) as objects:
        await objects.ensure_bucket()
        await objects.allow_origins(origins)
