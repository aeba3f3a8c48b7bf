"""The command line: `scopekit COMMAND`, which is `python -m gateway COMMAND`."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, NoReturn
from uuid import UUID

import orjson
import typer
from asyncpg import InterfaceError, PostgresError

from config.logging import configure_logging
from config.settings import Settings, SettingsError, load_settings, local_env_file
from config.telemetry import start_sentry
from gateway import cli_queue, demo
from gateway.auth import Role, mint
from store.errors import SpineError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

app.add_typer(cli_queue.app, name="queue")

# sysexits.h: the environment is not configured.
_EX_CONFIG = 78


@app.command()
def up() -> None:
    """Start everything on this machine: embedded services where none are set, then the Procfile's processes."""
    from gateway.up import main as start  # noqa: PLC0415 - the `local` extra is not installed in production

    raise typer.Exit(start())


@app.command()
def serve() -> None:
    """Run the gateway."""
    from gateway.app import create_app  # noqa: PLC0415 - the other commands start in a tenth of the time without it
    from gateway.server import serve as run  # noqa: PLC0415

    settings = environment()
    configure_logging(level=settings.log_level, function=settings.function_name)
    start_sentry(settings)
    run(create_app(settings), settings)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from store.migrate import MigrationError  # noqa: PLC0415
    from store.migrate import migrate as apply  # noqa: PLC0415

    with lost_database("Not migrated", MigrationError):
        applied = asyncio.run(apply(environment().admin_url))
    for migration in applied:
        typer.echo(f"applied {migration.version:04}_{migration.name}")


@app.command()
def seed() -> None:
    """Make the demo tenant and the media bucket, on a local stack only."""
    from gateway.seed import seed as plant  # noqa: PLC0415
    from store.objects import ObjectStore  # noqa: PLC0415

    settings = environment()
    if not settings.is_local:
        _fail("The demo tenant is for ENVIRONMENT=local only.")

    async def run() -> None:
        async with ObjectStore.open(settings) as objects:
            await objects.ensure_bucket()
        if await plant(settings.admin_url):
            typer.echo("made the demo tenant with its price book")

    asyncio.run(run())


@app.command()
def token(
    *,
    tenant: Annotated[UUID, typer.Option(help="Tenant id.")] = demo.TENANT_ID,
    user: Annotated[UUID, typer.Option(help="User id.")] = demo.USER_ID,
    role: Annotated[str, typer.Option(help="member, admin or owner.")] = "owner",
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 30, help="How long it holds.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Sign a token for development with the newest of JWT_SECRETS."""
    known: dict[str, Role] = {"member": "member", "admin": "admin", "owner": "owner"}
    if role not in known:
        _fail("--role is member, admin or owner.")
    settings = environment()
    if not settings.jwt_secrets:
        _fail("JWT_SECRETS is not set: tokens come from your identity provider alone.")
    signed = mint(settings, user_id=user, tenant_id=tenant, role=known[role], seconds=round(hours * 3600))
    typer.echo(orjson.dumps({"token": signed, "tenant_id": str(tenant), "role": role}).decode() if as_json else signed)


@app.command()
def cleanup(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    days: Annotated[float, typer.Option(min=0, help="Keep orphans that are younger.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Delete what no row names, and mark media whose file is gone. Runs on Sundays at 03:00 UTC by itself."""
    from store.cleanup import Cleanup, Report  # noqa: PLC0415 - as for `serve`
    from store.objects import ObjectStore  # noqa: PLC0415
    from store.pool import Database  # noqa: PLC0415

    settings = environment()

    async def run() -> Report:
        db = await Database.open(settings.worker_url, name="cleanup", size=2, role="service_role")
        try:
            async with ObjectStore.open(settings) as objects:
                return await Cleanup(db, objects, timedelta(days=days), dry_run).run()
        finally:
            await db.close()

    with lost_database("Not cleaned up", SpineError):
        report = asyncio.run(run())
    typer.echo(orjson.dumps(report.as_json()).decode() if as_json else report.as_text())


def main() -> None:
    """Run the command line."""
    app(prog_name="scopekit")


def environment() -> Settings:
    """Read the settings, or end with a sentence that says which are missing."""
    try:
        return load_settings(_env_file=local_env_file())
    except SettingsError as error:
        hint = "" if local_env_file() else "\nFor a local stack, start `make run` first."
        _fail(f"{error}{hint}", _EX_CONFIG)


@contextmanager
def lost_database(what: str, *more: type[Exception]) -> Iterator[None]:
    """End with one line, and no trace, when the database is not there or does not do what was asked."""
    lost: tuple[type[Exception], ...] = (OSError, PostgresError, InterfaceError, *more)  # OSError: no server, too late
    try:
        yield
    except lost as error:
        _fail(f"{what}: {error or type(error).__name__}", 1)


def _fail(message: str, code: int = 2) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(code)
