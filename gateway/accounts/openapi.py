"""`/openapi.json` on signing in, joining and setting up: pages and their forms."""

from uuid import UUID

from gateway.accounts.company_settings import RemindersForm, SettingsForm
from gateway.accounts.invitations import JoinForm
from gateway.accounts.keys import KeyForm
from gateway.accounts.people import InviteForm, RoleForm
from gateway.accounts.setup import SetupForm
from gateway.accounts.sign_in.email_code import CodeForm, EmailForm, LinkForm
from gateway.accounts.sign_in.passkeys import AddForm, AnswerForm, BeginForm
from gateway.accounts.sign_in.supabase import PasswordForm, SupabaseCodeForm
from gateway.accounts.you import ChooseForm, FoundForm, NotificationsForm
from gateway.openapi.operation import TEXT, Answer, Content, Operation, PageOf, Shape, gives, paged
from gateway.openapi.values import Moment
from store.accounts.memberships import Role


class Person(Shape):
    """A person of the company, with their role and when they were last seen."""

    user_id: UUID
    email: str | None
    name: str
    role: Role
    since: Moment
    last_seen_at: Moment | None


class People(PageOf):
    """The first to come first."""

    people: list[Person]


class Key(Shape):
    """An API key in force; its secret was shown once."""

    id: UUID
    name: str
    role: Role
    created_at: Moment
    last_used_at: Moment | None


class Keys(PageOf):
    """The newest first."""

    api_keys: list[Key]


_OPTIONS = {"type": "object", "required": ["challenge"]}
FORM = "application/x-www-form-urlencoded"
_HTML = {"text/html": TEXT}
# A browser is shown what is wrong as a page.
_WRONG = {**_HTML, "application/problem+json": {"type": "object"}}


def _page(text: str, *, refuses: tuple[int, ...] = ()) -> Operation:
    shown = {status: Answer("What is wrong.", _WRONG) for status in refuses}
    return Operation({200: Answer(text, _HTML), **shown}, "nobody", refuses=(503,))


def _form(takes: Content, text: str, *problems: int) -> Operation:
    """Describe a form: it leads on, or shows the error."""
    shown = {status: Answer("What is wrong.", _WRONG) for status in sorted({403, 422, *problems})}
    return Operation(
        {303: Answer(text, headers={"location": "Where to go on."}), **shown}, "nobody", takes=takes, refuses=(503,)
    )


def _wrong(*statuses: int) -> dict[int, Answer]:
    return {status: Answer("What is wrong.", _WRONG) for status in statuses}


def _company(text: str) -> Operation:
    return Operation(
        {
            200: Answer(text, _HTML),
            303: Answer("Sign in, or choose a company.", headers={"location": "Where."}),
            **_wrong(400, 401, 403, 404),
        },
        refuses=(429, 503),
    )


def _change(takes: Content, text: str, *problems: int) -> Operation:
    return Operation(
        {303: Answer(text, headers={"location": "The page."}), **_wrong(400, 401, 403, 404, 422, 429, *problems)},
        takes=takes,
        refuses=(503,),
    )


def _lead(text: str, *problems: int) -> Operation:
    """Describe a link that leads on, or shows the error."""
    shown = {status: Answer("What is wrong.", _WRONG) for status in problems}
    return Operation({303: Answer(text, headers={"location": "Where to go on."}), **shown}, "nobody", refuses=(503,))


OPERATIONS = {
    "GET /sign-in": _page("The ways in that are on."),
    "POST /sign-out": Operation(
        {
            303: Answer("The session is over.", headers={"location": "The sign-in page."}),
            403: Answer("No form of ours.", _WRONG),
        },
        "nobody",
        refuses=(503,),
    ),
    "POST /sign-in/email": _form({FORM: EmailForm}, "A mail is on its way, if the address may sign in.", 404, 429),
    "GET /sign-in/code": Operation(
        {
            200: Answer("The code's page.", _HTML),
            303: Answer("Begin anew.", headers={"location": "The sign-in page."}),
            404: Answer("This way in is off.", _WRONG),
        },
        "nobody",
        refuses=(503,),
    ),
    "POST /sign-in/code": _form({FORM: CodeForm}, "Signed in.", 404, 410, 429),
    "POST /sign-in/link": _form({FORM: LinkForm}, "Signed in.", 404, 410),
    "GET /sign-in/link/{token}": _page("Whether to go on.", refuses=(404, 410)),
    "GET /sign-in/oidc/{name}": _lead("The issuer's page.", 403, 404, 429, 503),
    "GET /sign-in/oidc/{name}/callback": _lead("Signed in.", 403, 404, 410, 503),
    "GET /sign-out/oidc/{name}": _lead("The issuer's own sign-out, or our sign-in page.", 404),
    "POST /sign-in/supabase": Operation(
        {
            200: Answer("The code's page.", _HTML),
            303: Answer("Signed in.", headers={"location": "Where to go on."}),
            **{status: Answer("What is wrong.", _WRONG) for status in (403, 404, 422, 429, 503)},
        },
        "nobody",
        takes={FORM: PasswordForm},
    ),
    "POST /sign-in/supabase/code": _form({FORM: SupabaseCodeForm}, "Signed in.", 404, 429, 503),
    "GET /sign-in/supabase/with/{provider}": _lead("The provider's page.", 404, 429),
    "GET /sign-in/supabase/callback": _lead("Signed in.", 403, 404, 410, 503),
    "POST /sign-in/passkey/begin": Operation(
        {200: Answer("What `navigator.credentials.get` takes.", {"application/json": _OPTIONS})},
        "nobody",
        takes={"application/json": BeginForm},
        refuses=(403, 404, 503),
    ),
    "POST /sign-in/passkey": _form({FORM: AnswerForm}, "Signed in.", 400, 404, 410, 429),
    "POST /company/you/passkeys/begin": Operation(
        {200: Answer("What `navigator.credentials.create` takes.", {"application/json": _OPTIONS}), **_wrong(401, 403)},
        refuses=(404, 429, 503),
    ),
    "POST /company/you/passkeys": _change({FORM: AddForm}, "The passkey is kept.", 409, 410),
    "POST /company/you/passkeys/{credential_id}/remove": _change({}, "The passkey is removed."),
    "POST /join": _form({FORM: JoinForm}, "Joined and signed in.", 410, 429),
    "GET /join/{token}": _page("Who invites whom.", refuses=(410, 429)),
    "GET /v1/people": Operation(gives(People), params=paged()),
    "GET /v1/api-keys": Operation(gives(Keys), params=paged()),
    "GET /company": _company("The people of the company."),
    "GET /company/people": _company("The people of the company."),
    "POST /company/people/invite": _change({FORM: InviteForm}, "The invitation's mail is queued.", 409),
    "POST /company/people/invitations/{invitation_id}/withdraw": _change({}, "The invitation is withdrawn."),
    "POST /company/people/{user_id}": _change({FORM: RoleForm}, "The person has another role, or is removed.", 409),
    "GET /company/keys": _company("The API keys of the company."),
    "POST /company/keys": Operation(
        {200: Answer("The key, this once.", _HTML), **_wrong(401, 403, 404, 422)},
        takes={FORM: KeyForm},
        refuses=(429, 503),
    ),
    "POST /company/keys/{key_id}/revoke": _change({}, "The key is revoked."),
    "GET /company/settings": _company("What the company has set."),
    "POST /company/settings": _change({FORM: SettingsForm}, "Saved."),
    "POST /company/settings/reminders": _change({FORM: RemindersForm}, "Saved."),
    "GET /company/bin": _company("The deleted visits."),
    "POST /company/bin/{visit_id}/restore": _change({}, "It is a visit as before.", 409),
    "POST /company/bin/{visit_id}/purge": _change({}, "It goes for good within the hour, with its media."),
    "GET /company/you": _company("The caller's companies and sessions."),
    "POST /company/you/sessions/{session_id}/end": _change({}, "The session is over."),
    "POST /company/you/sessions/end-others": _change({}, "All other sessions are over."),
    "POST /company/you/delete": _change({}, "The account is deleted.", 409),
    "POST /company/you/notifications": _change({FORM: NotificationsForm}, "Chosen."),
    "POST /company/you/company": _change({FORM: ChooseForm}, "The session acts for another company."),
    "POST /company/you/companies": _change({FORM: FoundForm}, "The company is made."),
    "GET /setup": _page("The form for the first company.", refuses=(404,)),
    "POST /setup": _form({FORM: SetupForm}, "The company is there, and its owner signed in.", 404, 429),
}
