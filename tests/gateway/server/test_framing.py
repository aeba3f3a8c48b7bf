"""One request has one answer, and no byte of a body is read as a request, whatever a head offers or ends with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.server.framing import (
    CONTENT,
    CUTS,
    FRAMINGS,
    OFFERS,
    Echo,
    Request,
    answers_in,
    bare,
    chunked,
    line_to,
    requests,
    said_of,
    settle,
)

POST = "POST /whole HTTP/1.1\r\nHost: x\r\n"
NEXT = bare("/next")
NEXT_SAID = (200, said_of("/next", b""))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("request_", requests("/whole"), ids=lambda request: request.name)
async def test_an_offer_is_ignored_and_the_body_read(request_: Request, cut: str) -> None:
    """The application has the whole body, and the next request is answered after it unless this was the last."""
    echo = Echo()
    async with line_to(echo) as line:
        await line.hear(*request_.pieces(cut), NEXT.head)
    last = "close" in request_.name or "the last" in request_.name
    expected = [(200, said_of("/whole", request_.content)), *([] if last else [NEXT_SAID])]
    assert (answers_in(line.sent), echo.read[0]) == (expected, request_.content)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("request_", requests("/early"), ids=lambda request: request.name)
async def test_a_body_that_nobody_reads_is_skipped(request_: Request, cut: str) -> None:
    """An answer that comes before the body does not make a request of it."""
    echo = Echo()
    async with line_to(echo) as line:
        await line.hear(*request_.pieces(cut), NEXT.head)
    expected = [(401, b"/early"), NEXT_SAID]
    assert answers_in(line.sent) == expected[: 1 if "the last" in request_.name else 2]
    assert "/hidden" not in echo.seen


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("path", ["/whole", "/early", "/begun"])
async def test_http_1_0_has_one_answer(path: str, cut: str) -> None:
    """The connection ends with it; what has no length is not chunked, for HTTP/1.0 knows no chunks."""
    for request_ in requests(path, version="1.0", more=("Expect: 100-continue",)):
        echo = Echo()
        echo.go.set()
        async with line_to(echo) as line:
            await line.hear(*request_.pieces(cut), NEXT.head)
        assert line.closed
        assert echo.seen in ([path], [])
        said = said_of(path, request_.content)
        expected = {"/whole": (200, said), "/early": (401, b"/early"), "/begun": (200, said + b" and more")}[path]
        if b"Transfer-Encoding" in request_.head:
            assert [status for status, _ in answers_in(line.sent)] == [400]
        else:
            assert (answers_in(line.sent), b"chunked" in line.sent) == ([expected], False)
            assert not line.sent.startswith(b"HTTP/1.1 100")


@pytest.mark.parametrize("cut", ["at once", "head, body"])
async def test_what_is_not_waited_for_may_not_come(cut: str) -> None:
    """An answer before `100 Continue` closes, unless the body is there already: a client may leave it out or not."""
    for request_ in requests("/early", more=("Expect: 100-continue",)):
        echo = Echo()
        async with line_to(echo) as line:
            await line.hear(*request_.pieces(cut), NEXT.head)
        assert answers_in(line.sent)[0] == (401, b"/early")
        if request_.body and cut == "head, body":
            assert (line.ended, echo.seen) == (True, ["/early"])
            assert b"\r\nconnection: close\r\n" in line.sent


@pytest.mark.parametrize("cut", CUTS)
async def test_who_waits_for_100_is_told_to_go_on(cut: str) -> None:
    """Once, and with an offer too."""
    for request_ in requests("/whole", more=("Expect: 100-continue",)):
        async with line_to(Echo()) as line:
            await line.hear(*request_.pieces(cut))
        assert line.sent.count(b"HTTP/1.1 100 Continue") == 1
        assert answers_in(line.sent) == [(200, said_of("/whole", request_.content))]


REFUSED = {
    "a tunnel": (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "a tunnel to a path": (b"CONNECT /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", 501),
    "a tunnel with an offer": (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", 501),
    "HTTP/0.9": (b"GET /whole HTTP/0.9\r\nHost: x\r\n\r\n", 505),
    "HTTP/2.0": (b"GET /whole HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/2.0 with an offer": (b"GET /whole HTTP/2.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", 505),
    "a coding we have not": (POST.encode() + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "chunks of chunks": (POST.encode() + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
    "two codings": (POST.encode() + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    "chunks of HTTP/1.0": (b"POST /whole HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "an offer and two lengths": (
        POST.encode() + b"Connection: Upgrade\r\nUpgrade: a\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n",
        400,
    ),
    "an offer and no host": (b"POST /whole HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00", 400),
}


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_refused_is_the_last(head: bytes, status: int) -> None:
    """The application sees neither it nor what follows, in the same piece or after it."""
    for pieces in ([head + CONTENT], [head, CONTENT], [head[n : n + 1] for n in range(len(head))] + [CONTENT]):
        echo = Echo()
        async with line_to(echo) as line:
            await line.hear(*pieces)
        assert ([status for status, _ in answers_in(line.sent)], line.closed, echo.seen) == ([status], True, [])


@pytest.mark.parametrize(("head", "status"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("path", ["/held", "/begun"])
@pytest.mark.parametrize("waiting", [[], ["/whole"], ["/whole", "/next"]])
async def test_a_refusal_waits_for_the_answers_before_it(
    head: bytes, status: int, path: str, waiting: list[str]
) -> None:
    """It neither takes their place nor cuts them, and nothing of it stands within them."""
    before = [bare(each) for each in (path, *waiting)]
    for pieces in ([each.head for each in before] + [head], [b"".join(each.head for each in before) + head]):
        echo = Echo()
        async with line_to(echo) as line:
            await line.hear(*pieces, CONTENT)
            echo.go.set()
            await line.hear(CONTENT)
        said = [said_of(each.path, b"") for each in before]
        said[0] += b" and more" if path == "/begun" else b""
        assert [body for _, body in answers_in(line.sent)[:-1]] == said
        assert (answers_in(line.sent)[-1][0], line.closed) == (status, True)
        assert echo.seen == [each.path for each in before]


BROKEN = {
    "a size that is none": b"ZZ\r\n",
    "a chunk that is too long": b"1\r\nabc\r\n",
    "a length in a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "a bare line feed": b"1\na\n0\n\n",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("path", ["/early", "/whole"])
@pytest.mark.parametrize("offer", OFFERS)
async def test_a_body_that_breaks_off_has_one_answer(broken: bytes, path: str, offer: str) -> None:
    """A 400, or the answer that was given before; never both, and nothing that follows is read."""
    lines = "\r\n".join(("Host: x", *OFFERS[offer], "Transfer-Encoding: chunked", "", ""))
    head = f"POST {path} HTTP/1.1\r\n{lines}".encode()
    for pieces in ([head, broken, CONTENT], [head + broken + CONTENT]):
        echo = Echo()
        async with line_to(echo) as line:
            await line.hear(*pieces)
        early = path == "/early" and len(pieces) > 1
        assert [status for status, _ in answers_in(line.sent)] == [401 if early else 400]
        assert (line.closed, "/hidden" in echo.seen, echo.read) == (True, False, [])


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_a_waiting_request_whose_body_breaks_off_is_refused_in_its_turn(broken: bytes) -> None:
    """The answer before it is whole, and the application reads nothing of it."""
    head = POST.encode() + b"Transfer-Encoding: chunked\r\n\r\n"
    for pieces in ([bare("/begun").head, head, broken], [bare("/begun").head + head + broken]):
        echo = Echo()
        async with line_to(echo) as line:
            await line.hear(*pieces, CONTENT)
            echo.go.set()
            await line.hear(CONTENT)
        (_, first), (status, _) = answers_in(line.sent)
        assert (first, status, echo.read) == (said_of("/begun", b"") + b" and more", 400, [b""])


@pytest.mark.parametrize("path", ["/early", "/whole"])
async def test_a_trailer_that_closes_closes(path: str) -> None:
    """The parser hears nothing behind it, so that the connection would take requests and answer none."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    echo = Echo()
    async with line_to(echo) as line:
        await line.hear(head, chunked(CONTENT, b"Connection: close\r\n"), NEXT.head)
    assert (len(answers_in(line.sent)), line.closed, echo.seen) == (1, True, [path])


@pytest.mark.parametrize("path", ["/held", "/begun"])
async def test_a_client_that_leaves_is_noticed_behind_a_waiting_request(path: str) -> None:
    """The request that is being answered is told, and not the waiting one in its place."""
    echo = Echo()
    async with line_to(echo) as line:
        await line.hear(bare(path).head, NEXT.head)
        line.lose()
        await settle()
        assert echo.left == [path]
    assert echo.seen == [path]


def messages() -> st.SearchStrategy[Request]:
    """Draw a request of any path, offer and framing."""
    paths = st.sampled_from(["/whole", "/early", "/held", "/begun"])
    return paths.flatmap(lambda path: st.sampled_from(requests(path)))


@given(st.lists(messages(), min_size=1, max_size=4), st.data())
async def test_no_more_answers_than_requests_however_bytes_arrive(sent: list[Request], data: st.DataObject) -> None:
    """Each answer is of its request, in their order; all are there up to the last request that closes."""
    whole = b"".join(each.head + each.body for each in sent)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    gone_on = data.draw(st.integers(0, len(pieces)))
    echo = Echo()
    async with line_to(echo) as line:
        await line.hear(*pieces[:gone_on])
        echo.go.set()
        await line.hear(*pieces[gone_on:])
        for _ in sent:
            await settle()
    closing = [n for n, each in enumerate(sent, 1) if "the last" in each.name]
    expected = [_said(each) for each in sent[: closing[0] if closing else len(sent)]]
    assert [body for _, body in answers_in(line.sent)] == expected


def _said(request: Request) -> bytes:
    if request.path == "/early":
        return b"/early"
    return said_of(request.path, request.content) + (b" and more" if request.path == "/begun" else b"")


def test_every_framing_hides_a_request() -> None:
    """Or these tests would prove nothing."""
    assert [content for _, _, content in FRAMINGS.values()].count(CONTENT) == len(FRAMINGS) - 1
