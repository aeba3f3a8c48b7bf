"""Shares: a link for one recipient to one version of an estimate, its views, its decision and its story.

The upper half acts for the tenant (`db.as_user`), under RLS. The lower half acts for the holder of a link
(`db.as_system`): its functions take a `Key`, and nothing else opens a share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from store.errors import Conflict, Forbidden, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("shares/shares")

Opening = Literal["opened", "unknown", "revoked", "expired", "used_up", "passcode", "stale"]
Asked = Literal["recorded", "closed", "full"]
Outcome = Literal["recorded", "closed", "decided", "changed"]
Decision = Literal["accepted", "declined", "changes_requested"]
Looked = Literal["photo", "pdf", "certificate"]


@dataclass(frozen=True)
class NewShare:
    """A contractor's request for a share; `expires_in` is in seconds, no `max_views` means without a limit."""

    token_hash: bytes
    recipient: str
    expires_in: int
    max_views: int | None
    passcode_hash: str | None
    display: Mapping[str, Any]
    in_person: bool = False


@dataclass(frozen=True)
class Key:
    """The secrets in a customer's browser, as sha256: the link's token, and the session's when it has one."""

    token: bytes
    session: bytes | None = None


@dataclass(frozen=True)
class Said:
    """A customer's decision, on the content, terms and selection with these hashes; `signature` is its drawn path.

    No `option` is the one that the estimate offers first.
    """

    decision: Decision
    name: str
    message: str
    content_hash: str
    terms_hash: str
    signature: str = ""
    option: str | None = None
    selection_hash: str | None = None


@dataclass(frozen=True)
class ClientInfo:
    """The visitor that opens a link, as little as we keep: the kind of browser and a truncated address."""

    agent_class: str
    address_prefix: str


async def create(conn: Connection, estimate_id: UUID, new: NewShare, *, tenant_id: UUID, created_by: UUID) -> Record:
    """Make a share of the visit's newest estimate and return it as `get` does.

    Raises `NotFound`, and `Conflict` with the newest id when this version has been replaced.
    """
    estimate = await conn.fetchrow(SQL.newest_of_visit, estimate_id)
    if estimate is None:
        raise NotFound("There is no such estimate.")
    if estimate["newest_id"] != estimate_id:
        detail = "A newer version of this estimate exists; share that one."
        raise Conflict(detail, code="share_outdated", newest_id=estimate["newest_id"])
    share_id = await conn.fetchval(
        SQL.insert_share,
        tenant_id,
        estimate["visit_id"],
        estimate_id,
        new.token_hash,
        new.recipient,
        new.passcode_hash,
        new.max_views,
        float(new.expires_in),
        created_by,
        new.display,
        new.in_person,
    )
    return await get(conn, share_id)


async def of_estimate(
    conn: Connection, estimate_id: UUID, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Record]:
    """Return the shares of an estimate's visit behind a position, newest first; raises `NotFound` without one."""
    if await conn.fetchrow(SQL.newest_of_visit, estimate_id) is None:
        raise NotFound("There is no such estimate.")
    return await conn.fetch(SQL.shares_of_estimate, estimate_id, None, limit, *(after or (None, None)))


async def get(conn: Connection, share_id: UUID) -> Record:
    """Return one share with its state, views and decision; raises `NotFound`."""
    row = await conn.fetchrow(SQL.shares_of_estimate, None, share_id, 1, None, None)
    if row is None:
        raise NotFound("There is no such share.")
    return row


async def change_display(conn: Connection, share_id: UUID, display: Mapping[str, Any]) -> None:
    """Change some of the parts that a share's customer sees."""
    await conn.execute(SQL.change_display, share_id, display)


_UNSENT = {
    "revoked": ("This link was revoked and stays so; make a new one.", "share_revoked"),
    "accepted": ("What was accepted under this link stays. Make a new link for the new version.", "already_decided"),
    "outdated": ("A newer version of this estimate exists; send that one.", "share_outdated"),
}


async def send_version(conn: Connection, share_id: UUID, estimate_id: UUID) -> Record:
    """Send the visit's newest version with the same link; a decision of the version before does not count for it.

    Raises `NotFound`, and `Conflict` for a revoked share, an accepted one, and a version that is not the newest.
    """
    await get(conn, share_id)
    outcome: str = await conn.fetchval(SQL.send_version, share_id, estimate_id)
    if outcome in _UNSENT:
        detail, code = _UNSENT[outcome]
        raise Conflict(detail, code=code)
    if outcome == "unknown":
        raise Forbidden("Only a member of the company sends estimates.")
    return await get(conn, share_id)


_UNRECORDED = {
    "revoked": ("This link was revoked and stays so; make a new one.", "share_revoked"),
    "decided": ("A decision on this version has already been recorded.", "already_decided"),
    "changed": ("The estimate has changed, or does not offer this option. Read it again.", "estimate_changed"),
}


async def record_decision(conn: Connection, share_id: UUID, said: Said) -> Record:
    """Record a customer's decision by phone, on the content with this hash.

    Raises `NotFound`, `Forbidden` for a viewer, and `Conflict` for a revoked share, a decided and a changed version.
    """
    await get(conn, share_id)
    row = (said.decision, said.name, said.message, said.content_hash, said.option)
    outcome: str = await conn.fetchval(SQL.record_decision, share_id, *row)
    if outcome in _UNRECORDED:
        detail, code = _UNRECORDED[outcome]
        raise Conflict(detail, code=code)
    if outcome == "unknown":
        raise Forbidden("Only a member of the company records decisions.")
    return await get(conn, share_id)


async def questions(
    conn: Connection, share_id: UUID, limit: int, after: tuple[datetime, UUID] | None = None
) -> list[Record]:
    """Return a share's questions and answers behind a position, oldest first: (id, kind, name, body, sent_at).

    Raises `NotFound`.
    """
    await get(conn, share_id)
    return await conn.fetch(SQL.questions_of_share, share_id, limit, *(after or (None, None)))


async def answer(conn: Connection, share_id: UUID, body: str) -> Record:
    """Answer the customer, and return the answer as `questions` does. Raises `NotFound`, `Forbidden` for a viewer."""
    await get(conn, share_id)
    if not await conn.fetchval(SQL.answer_question, share_id, body):
        raise Forbidden("Only a member of the company answers its customers.")
    row = await conn.fetchrow(SQL.newest_answer, share_id)
    assert row is not None  # noqa: S101 - written in this transaction
    return row


async def ask(conn: Connection, key: Key, name: str, body: str, client: ClientInfo) -> Asked:
    """Record a customer's question; the offer stays as it is."""
    row = (key.token, key.session, name, body, client.agent_class, client.address_prefix)
    outcome: Asked = await conn.fetchval(SQL.ask_question, *row)
    return outcome


async def preview(conn: Connection, estimate_id: UUID) -> Mapping[str, Any] | None:
    """Return an estimate as its customer would read it, in the shape of `document`; None for an unknown one."""
    found: Mapping[str, Any] | None = await conn.fetchval(SQL.preview_document, estimate_id)
    return found


async def revoke(conn: Connection, share_id: UUID) -> Record:
    """End a share, and every session of it, now; raises `NotFound`. A second time changes nothing."""
    await conn.execute(SQL.revoke_share, share_id)
    return await get(conn, share_id)


async def set_reminders(conn: Connection, share_id: UUID, *, on: bool) -> None:
    """Say whether the customer of a share is reminded of it."""
    await conn.execute(SQL.set_reminders, share_id, on)


async def revoke_as_operator(conn: Connection, share_id: UUID, reason: str) -> bool:
    """End a share of any tenant; False when there is none. For operators."""
    return bool(await conn.fetchval(SQL.revoke_share_as_operator, share_id, reason))


async def rotate(conn: Connection, share_id: UUID, token_hash: bytes, *, expires_in: int | None) -> Record:
    """Give a share another token, and with `expires_in` seconds another end; the old token and its sessions are dead.

    Raises `NotFound`, and `Conflict` for a revoked share, which stays so.
    """
    seconds = None if expires_in is None else float(expires_in)
    outcome: str = await conn.fetchval(SQL.rotate_share, share_id, token_hash, seconds)
    if outcome == "revoked":
        raise Conflict("This share was revoked and stays so; make a new one.", code="share_revoked")
    return await get(conn, share_id)


async def timeline(
    conn: Connection, share_id: UUID, limit: int, after: tuple[datetime, str, UUID] | None = None
) -> list[Record]:
    """Return a share's history behind a position, oldest first: (kind, happened_at, user_agent_class, ..., id).

    Raises `NotFound`.
    """
    await get(conn, share_id)
    return await conn.fetch(SQL.timeline_of_share, share_id, limit, *(after or (None, None, None)))


async def acceptance(conn: Connection, share_id: UUID) -> Record:
    """Return (estimate_id, certificate, fingerprint) of a share's acceptance; raises `NotFound` without one."""
    row = await conn.fetchrow(SQL.acceptance_of_share, share_id)
    if row is None:
        raise NotFound("There is no acceptance with this share.")
    return row


async def by_token(conn: Connection, key: Key) -> Record | None:
    """Return {share_id, state, has_passcode, live, company, customer, has_logo} of the share behind a link, or None."""
    return await conn.fetchrow(SQL.share_by_token, key.token, key.session)


async def tenant_of(conn: Connection, key: Key) -> UUID | None:
    """Return the tenant that owns a link's share, or None; not for the customer's eyes."""
    tenant_id: UUID | None = await conn.fetchval(SQL.tenant_of_share, key.token)
    return tenant_id


async def try_passcode(conn: Connection, key: Key) -> Record | None:
    """Count a try, and return {passcode_hash, retry_after}: while it is locked no hash, and the seconds to wait.

    Commit it before the passcode is checked: an abandoned check has still been a try.
    """
    return await conn.fetchrow(SQL.try_passcode, key.token)


async def open_share(
    conn: Connection, key: Key, client: ClientInfo, *, passcode_hash: str | None, session_seconds: int
) -> Opening:
    """Take one view and begin the key's session; `passcode_hash` is the one that a given passcode matched."""
    row = (key.token, key.session, passcode_hash, session_seconds, client.agent_class, client.address_prefix)
    outcome: Opening = await conn.fetchval(SQL.open_share, *row)
    return outcome


async def document(conn: Connection, key: Key) -> Mapping[str, Any] | None:
    """Return the document for the customer, or None without a live session; `scopekit.document_of` has its shape."""
    found: Mapping[str, Any] | None = await conn.fetchval(SQL.share_session, key.token, key.session)
    return found


async def photo(conn: Connection, key: Key, media_id: UUID) -> Record:
    """Return a photo that a line of the document cites; raises `NotFound`, also without a live session."""
    row = await conn.fetchrow(SQL.share_photo, key.token, key.session, media_id)
    if row is None:
        raise NotFound("There is no such photo in this document.")
    return row


async def logo(conn: Connection, key: Key) -> str:
    """Return where the contractor's logo lies; raises `NotFound`, also for a link that cannot be opened."""
    path: str | None = await conn.fetchval(SQL.share_logo, key.token, key.session)
    if path is None:
        raise NotFound("This document has no logo.")
    return path


async def news(conn: Connection, key: Key) -> Mapping[str, Any] | None:
    """Return {version, newest, decision, messages} for an open page, or None without a live session."""
    found: Mapping[str, Any] | None = await conn.fetchval(SQL.share_updates, key.token, key.session)
    return found


async def note(conn: Connection, key: Key, kind: Looked, client: ClientInfo, media_id: UUID | None = None) -> None:
    """Record a live session's view of a thing, once per session and thing."""
    await conn.execute(
        SQL.log_share_activity, key.token, key.session, kind, media_id, client.agent_class, client.address_prefix
    )


async def decide(conn: Connection, key: Key, said: Said, client: ClientInfo) -> Outcome:
    """Record the customer's decision on the exact content they saw; only the first one is `recorded`."""
    row = (key.token, key.session, said.decision, said.name, said.message, said.content_hash, said.terms_hash)
    outcome: Outcome = await conn.fetchval(
        SQL.decide_share,
        *row,
        said.signature,
        client.agent_class,
        client.address_prefix,
        said.option,
        said.selection_hash,
    )
    return outcome
