"""A way in: passkeys (WebAuthn), added, named and removed by their owner, and good at this origin alone.

A challenge is derived from the secret in the browser's cookie, and its row is used up by the first answer.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from gateway.accounts.company import YOU, company_page
from gateway.accounts.pages import as_page, require_our_form, safe_path
from gateway.accounts.sign_in import attempts, ways
from gateway.accounts.sign_in.sign_in import enter
from gateway.auth.credentials import Credential
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import Trimmed, json_response, read_json
from gateway.http.client_info import address_of, limit_key, public_origin
from gateway.http.input.form import read_form
from gateway.http.input.text import OneLine
from store.accounts import sessions
from store.errors import Forbidden, Gone, InvalidInput, NotFound
from store.limits.shared_limits import Bucket, Limit, per_hour
from store.people import passkeys
from store.pool import Record

_WAY, _NEW = "passkey", "passkey-new"
WRONG_PASSKEYS = Limit("wrong_passkeys", burst=30, per_second=per_hour(60))
_OVER = "This took too long, or began in another browser. Try again."
_UNKNOWN = "This passkey is not known here. Sign in another way and add it on your own page."

CredentialText = Annotated[str, StringConstraints(min_length=2, max_length=16_000)]


class BeginForm(BaseModel):
    """Where to go after signing in."""

    model_config = ConfigDict(extra="forbid")

    next: Annotated[str, StringConstraints(max_length=500)] = "/"


class AnswerForm(BaseModel):
    """The browser's credential as JSON."""

    model_config = ConfigDict(extra="ignore")

    credential: CredentialText


class AddForm(BaseModel):
    """A new credential as JSON, and the name its owner gives it."""

    model_config = ConfigDict(extra="ignore")

    credential: CredentialText
    name: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=100)]


async def begin(request: Request) -> Response:
    """Answer what `navigator.credentials.get` takes; any passkey of this origin will do."""
    _require_on(request)
    require_our_form(request)
    form = await read_json(request, BeginForm)
    response = Response(media_type="application/json", headers={"cache-control": "no-store"})
    attempt = await attempts.begin(request, response, _WAY, safe_path(form.next))
    options = generate_authentication_options(
        rp_id=_rp_id(request),
        challenge=_challenge(attempt),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return _with_body(response, options)


async def answer(request: Request) -> Response:
    """Sign in by the credential that answers the challenge."""
    _require_on(request)
    require_our_form(request)
    form = await read_form(request, AnswerForm)
    context, wrong = context_of(request), Bucket(WRONG_PASSKEYS, limit_key(address_of(request)))
    context.limits.check(wrong)
    begun = await attempts.take(request, _WAY)
    if begun is None:
        raise Gone(_OVER)
    attempt, next_path = begun
    credential_id = _credential_id(form.credential)
    async with context.db.as_system() as conn:
        kept = await passkeys.find(conn, credential_id)
    count = None if kept is None else _verified_count(request, form.credential, attempt, kept)
    if kept is None or count is None:
        await context.limits.spend(wrong)
        raise Forbidden(_UNKNOWN)
    async with context.db.as_system() as conn:
        await passkeys.use(conn, credential_id, count)
    return await enter(request, kept["user_id"], _WAY, next_path)


async def begin_new(request: Request, principal: Principal) -> Response:
    """Answer what `navigator.credentials.create` takes, for the signed-in user."""
    _require_on(request)
    async with context_of(request).db.as_system() as conn:
        user = await sessions.user(conn, principal.user_id)
        known = await passkeys.of_user(conn, principal.user_id)
    response = Response(media_type="application/json", headers={"cache-control": "no-store"})
    attempt = await attempts.begin(request, response, _NEW, YOU)
    name = (user and (user["email"] or user["name"])) or "ScopeKit"
    options = generate_registration_options(
        rp_id=_rp_id(request),
        rp_name="ScopeKit",
        user_id=principal.user_id.bytes,
        user_name=name,
        challenge=_challenge(attempt),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one["credential_id"]) for one in known],
    )
    return _with_body(response, options)


async def add(request: Request, principal: Principal) -> Response:
    """Keep a new passkey of the user."""
    _require_on(request)
    form = await read_form(request, AddForm)
    begun = await attempts.take(request, _NEW)
    if begun is None:
        raise Gone(_OVER)
    try:
        verified = verify_registration_response(
            credential=form.credential,
            expected_challenge=_challenge(begun[0]),
            expected_rp_id=_rp_id(request),
            expected_origin=public_origin(request, context_of(request).settings),
            require_user_verification=True,
        )
    except WebAuthnException as problem:
        raise InvalidInput("The passkey could not be read. Try again.") from problem
    async with context_of(request).db.as_system() as conn:
        await passkeys.add(
            conn,
            user_id=principal.user_id,
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            name=form.name,
        )
    response = RedirectResponse(YOU, 303)
    attempts.forget(request, response, _NEW)
    return response


async def remove(request: Request, principal: Principal) -> Response:
    """Remove one of the user's passkeys."""
    credential_id = _bytes(request.path_params["credential_id"])
    async with context_of(request).db.as_system() as conn:
        await passkeys.remove(conn, principal.user_id, credential_id)
    return RedirectResponse(YOU, 303)


def _verified_count(request: Request, credential: str, attempt: Credential, kept: Record) -> int | None:
    """Return the signature's counter; None for a signature that does not hold, or a counter that went back."""
    try:
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=_challenge(attempt),
            expected_rp_id=_rp_id(request),
            expected_origin=public_origin(request, context_of(request).settings),
            credential_public_key=kept["public_key"],
            credential_current_sign_count=kept["sign_count"],
            require_user_verification=True,
        )
    except WebAuthnException:
        return None
    return verified.new_sign_count


def _with_body(response: Response, options: Any) -> Response:
    body = json_response(orjson.loads(options_to_json(options))).body
    response.body = bytes(body)
    response.headers["content-length"] = str(len(body))
    return response


def _challenge(attempt: Credential) -> bytes:
    return attempt.derive("challenge").encode()


def _rp_id(request: Request) -> str:
    return urlsplit(public_origin(request, context_of(request).settings)).hostname or ""


def _credential_id(text: str) -> bytes:
    """Read the id of a credential that came as JSON. Raises `InvalidInput`."""
    try:
        credential = orjson.loads(text)
    except orjson.JSONDecodeError:
        credential = None
    found = credential.get("rawId") if isinstance(credential, dict) else None
    if not isinstance(found, str):
        raise InvalidInput("The passkey could not be read. Try again.")
    return _bytes(found)


def _bytes(text: str) -> bytes:
    try:
        return base64url_to_bytes(text)
    except ValueError:
        raise InvalidInput("The passkey could not be read. Try again.") from None


def _require_on(request: Request) -> None:
    if not ways.is_on(context_of(request).settings, _WAY):
        raise NotFound("Passkeys are off here; PASSKEYS turns them on.")


routes: list[BaseRoute] = [
    Route("/sign-in/passkey/begin", begin, methods=["POST"]),
    Route("/sign-in/passkey", as_page(answer), methods=["POST"]),
    Route(f"{YOU}/passkeys/begin", company_page(begin_new), methods=["POST"]),
    Route(f"{YOU}/passkeys", company_page(add), methods=["POST"]),
    Route(f"{YOU}/passkeys/{{credential_id}}/remove", company_page(remove), methods=["POST"]),
]
