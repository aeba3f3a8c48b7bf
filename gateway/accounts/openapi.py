"""What `/openapi.json` says of signing in, joining and setting up: pages and their forms."""

from gateway.accounts.email_code import CodeForm, EmailForm, LinkForm
from gateway.accounts.invitations import JoinForm
from gateway.accounts.setup import SetupForm
from gateway.openapi.operation import TEXT, Answer, Content, Operation

FORM = "application/x-www-form-urlencoded"
_HTML = {"text/html": TEXT}
# A browser is shown what is wrong as a page.
_WRONG = {**_HTML, "application/problem+json": {"type": "object"}}


def _page(text: str, *, refuses: tuple[int, ...] = ()) -> Operation:
    shown = {status: Answer("What is wrong.", _WRONG) for status in refuses}
    return Operation({200: Answer(text, _HTML), **shown}, "nobody", refuses=(503,))


def _form(takes: Content, text: str, *problems: int) -> Operation:
    """Describe a form: it leads on, or what is wrong is shown."""
    shown = {status: Answer("What is wrong.", _WRONG) for status in sorted({403, 422, *problems})}
    return Operation(
        {303: Answer(text, headers={"location": "Where to go on."}), **shown}, "nobody", takes=takes, refuses=(503,)
    )


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
    "POST /join": _form({FORM: JoinForm}, "Joined and signed in.", 410, 429),
    "GET /join/{token}": _page("Who invites whom.", refuses=(410, 429)),
    "GET /setup": _page("The form for the first company.", refuses=(404,)),
    "POST /setup": _form({FORM: SetupForm}, "The company is there, and its owner signed in.", 404, 429),
}
