"""Problem codes: every error has one, each has a page, and a program can tell cases apart by them."""

import ast
from pathlib import Path

import httpx
import pytest

from gateway.http.errors import STATUS
from gateway.http.problem_codes import CODES, OF_STATUS
from store import errors
from tests.tenants import Tenant

ROOT = Path(__file__).parents[3]
RAISED = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)} | {"problem"}


def _codes_in_sources() -> set[str]:
    found: set[str] = set()
    for folder in ("gateway", "store", "realtime"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RAISED:
                    found |= {
                        str(each.value.value)
                        for each in node.keywords
                        if each.arg == "code" and isinstance(each.value, ast.Constant)
                    }
    return found


def test_every_code_that_is_raised_is_registered_and_the_other_way_round() -> None:
    """A code without a page would be a dead link; a page without a code a promise that nothing keeps."""
    of_classes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
    used = _codes_in_sources() | of_classes | set(OF_STATUS.values()) | {"internal_error"}
    assert used == CODES.keys()


def test_a_class_has_a_code_of_its_own_status() -> None:
    """`status` in the document is the one that the code's page names."""
    for kind, status in STATUS.items():
        assert issubclass(kind, errors.SpineError)
        assert CODES[kind.code].status == status, kind
    for status, code in OF_STATUS.items():
        assert CODES[code].status == status, code


async def test_type_leads_to_a_page_for_people_and_to_json_for_programs(client: httpx.AsyncClient) -> None:
    """The address in `type` answers in the way that is preferred."""
    problem = (await client.get("/v1/me")).json()
    assert (problem["code"], problem["type"]) == ("token_missing", "/problems/token_missing")
    page = await client.get(problem["type"], headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "Authorization: Bearer &lt;token&gt;" in page.text
    told = (await client.get(problem["type"], headers={"accept": "application/json"})).json()
    assert (told["code"], told["status"]) == ("token_missing", 401)
    every = (await client.get("/problems", headers={"accept": "application/json"})).json()["problems"]
    assert [each["code"] for each in every] == list(CODES)
    assert (await client.get("/problems", headers={"accept": "text/html"})).text.count("<section") == len(CODES)
    assert (await client.get("/problems/unheard_of")).status_code == 404


async def test_a_401_says_which_token_it_was(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Expired, malformed and unknown differ; only a request without a token gets no `error` (RFC 6750)."""
    cases = {
        "token_expired": tenant.token(seconds=-60),
        "token_malformed": "not.a.token",
        "token_unknown": tenant.token(secret="another-secret-of-at-least-32-bytes"),
    }
    for code, token in cases.items():
        answer = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert "error" not in (await client.get("/v1/me")).headers["www-authenticate"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/nothing", 404, "no_such_address"),
        ("/v1/visits/not-an-id", 400, "invalid_parameter"),
        ("/v1/visits/0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90", 404, "not_found"),
        ("/v1/visits/0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90/estimate", 404, "not_found"),
    ],
)
async def test_cases_of_one_status_differ_by_code(
    client: httpx.AsyncClient, tenant: Tenant, path: str, status: int, code: str
) -> None:
    """What differs for a program differs in `code`."""
    answer = await client.get(path, headers=tenant.headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
