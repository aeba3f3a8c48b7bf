"""`scopekit doctor`: lists faults, each with its remedy."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from config.settings import SettingsError, load_settings, local_env_file
from gateway.cli.common import Exit, Json, say

if TYPE_CHECKING:
    from gateway.ops.doctor import Finding

_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(*, as_json: Json = False) -> None:
    """Look at settings, database, Redis, store, clocks, disk, engine and processes; exit code 1 when one fails."""
    from gateway.ops.doctor import Finding, examine  # noqa: PLC0415 - the other commands start faster without it

    try:
        settings = load_settings(_env_file=local_env_file())
    except SettingsError as error:
        do = "Set them; the README's configuration table says what each is. For a local stack, `make run` does."
        _tell([Finding("settings", "fail", str(error), do)], as_json=as_json)
        raise typer.Exit(Exit.CONFIG) from None
    findings = [Finding("settings", "ok", f"complete, for {settings.environment}"), *asyncio.run(examine(settings))]
    _tell(findings, as_json=as_json)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(Exit.FAILED)


def _tell(findings: "list[Finding]", *, as_json: bool) -> None:
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.state]}  {finding.name:<14} {finding.found}")
        lines += [f"{'':>6}{'':<14} -> {finding.do}"] if finding.do else []
    healthy = all(finding.state != "fail" for finding in findings)
    say({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}, "\n".join(lines), as_json=as_json)
