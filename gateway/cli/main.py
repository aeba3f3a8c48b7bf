"""The command line: `scopekit COMMAND`, which is `python -m gateway COMMAND`."""

import asyncio
import sys
from typing import Annotated
from uuid import UUID

import typer

from config.logging import configure_logging
from gateway.auth.auth import mint
from gateway.cli import bucket, deploy, dlq, queue, secrets, share, webhooks
from gateway.cli.accounts import company, flags, operators, people
from gateway.cli.cleanup import cleanup
from gateway.cli.common import DryRun, Exit, Json, environment, fail, report_failures, say
from gateway.cli.doctor import doctor
from gateway.cli.slo import slo
from gateway.cli.stream import stream
from gateway.pages import demo
from store.sandbox.confinement import hide_memory

EXIT_CODES = (
    "Exit codes: 0 done; 1 something is wrong or did not answer; 2 called wrongly; 3 no such thing; "
    "4 refused: not confirmed, too early or in conflict; 78 not configured."
)

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, epilog=EXIT_CODES, help="Run and operate ScopeKit."
)
app.add_typer(queue.app, name="queue")
app.add_typer(company.app, name="company")
app.add_typer(people.app, name="people")
app.add_typer(operators.app, name="operators")
app.add_typer(dlq.app, name="dlq")
app.add_typer(bucket.app, name="bucket")
app.add_typer(deploy.app, name="deploy")
app.command()(deploy.rollback)
app.add_typer(flags.app, name="flags")
app.add_typer(share.app, name="share")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(secrets.app, name="secrets")
app.command()(cleanup)
app.command()(doctor)
app.command()(slo)
app.command()(stream)


@app.command()
def serve() -> None:
    """Run the gateway."""
    from config.telemetry import start_sentry  # noqa: PLC0415
    from config.tracing import start_tracing  # noqa: PLC0415
    from gateway.app import create_app  # noqa: PLC0415 - the other commands start in a tenth of the time without it
    from gateway.server.server import serve as run  # noqa: PLC0415

    settings = environment()
    hide_memory()
    configure_logging(level=settings.log_level, function=settings.function_name)
    start_sentry(settings)
    start_tracing(settings)
    run(create_app(settings), settings)


@app.command()
def migrate(
    *,
    dry_run: DryRun = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 unless the schema is the newest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the database to the newest schema."""
    from store.schema.migrate import MigrationError, pending  # noqa: PLC0415
    from store.schema.migrate import migrate as apply  # noqa: PLC0415

    settings, only_look = environment(), dry_run or check
    url = settings.admin_url
    as_whom = "" if settings.database_admin_url else " (DATABASE_ADMIN_URL is not set, so as the login of DATABASE_URL)"
    try:
        with report_failures(f"Not migrated{as_whom}"):
            found = asyncio.run(pending(url) if only_look else apply(url))
    except MigrationError as error:
        fail(f"Not migrated: {error}", Exit.FAILED)
    names = [f"{migration.version:04}_{migration.name}" for migration in found]
    word = "would_apply" if only_look else "applied"
    if names or as_json:
        say({word: names}, "\n".join(f"{word.replace('_', ' ')} {name}" for name in names), as_json=as_json)
    if names and check:
        raise typer.Exit(Exit.FAILED)


@app.command()
def token(
    *,
    tenant: Annotated[UUID, typer.Option(help="Tenant id.")] = demo.TENANT_ID,
    user: Annotated[UUID, typer.Option(help="User id.")] = demo.USER_ID,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 30, help="How long it holds.")] = 12,
    as_json: Json = False,
) -> None:
    """Sign a token for development with the newest of JWT_SECRETS. Its rights are those of the membership row."""
    settings = environment()
    if not settings.jwt_secrets:
        fail("JWT_SECRETS is not set: tokens come from your identity provider alone.")
    signed = mint(settings, user_id=user, tenant_id=tenant, seconds=round(hours * 3600))
    say({"token": signed, "tenant_id": tenant, "user_id": user}, signed, as_json=as_json)


def main() -> None:
    """Run the command line; log lines do not mix with its output."""
    configure_logging(level="warning", function="cli", to=sys.stderr)
    app(prog_name="scopekit")
