"""What answers requests, whichever server has read them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from websockets.http11 import Response

from tests.web.core.harness import House
from tests.web.driver import FILES
from zchat.errors import DeadlineExceeded, NotAllowed
from zchat.messages import Position
from zchat.web.core.letting_in import Caller, LettingIn, Patterns
from zchat.web.core.watching import Watching
from zchat.web.requests import Asked, Live, Requests

SITE = "https://site.example"
DOORS = LettingIn(open_to_all=True, public=Patterns(["*"]), hosts=frozenset(("localhost",)), origins=frozenset((SITE,)))


def made(**options: int) -> tuple[House, Requests]:
    house = House(DOORS, **options)
    return house, Requests(house.gateway, FILES)


def ask(path: str, *headers: tuple[str, str], query: str = "", method: str = "GET") -> Asked:
    given = [("Host", "localhost"), *headers]

    def header(name: str) -> Sequence[str]:
        return [value for key, value in given if key.lower() == name.lower()]

    return Asked(method, path, query, header)


def test_a_room_may_have_any_name_slashes_too() -> None:
    _, requests = made()
    for name in ("news", "a/b", "live", "a/live", "é w", "%2f", "a\nb"):
        assert requests.answer(ask(f"rooms/{name}/live")) == Live(name, None)
    for path in ("rooms/live", "rooms//live", "rooms/x", "rooms/x/live/", "x/rooms/y/live"):
        found = requests.answer(ask(path))
        assert isinstance(found, Response), path
        assert found.status_code == 404, path


@pytest.mark.parametrize(
    ("headers", "query", "after"),
    [
        ([], "", None),
        ([""], "after=", None),
        ([], "after=5:7", Position(5, 7)),
        ([], "x=1&after=5%3A7", Position(5, 7)),
        (["5:8"], "after=5:7", Position(5, 8)),  # where a browser has come to since
        (["5:8", "5:8"], "", Position(5, 8)),
        (["", "5:8"], "", Position(5, 8)),
        ([], "after=5:7&after=5:7", Position(5, 7)),
    ],
)
def test_events_go_on_after_a_position(headers: list[str], query: str, after: Position | None) -> None:
    _, requests = made()
    given = [("Last-Event-ID", each) for each in headers]
    assert requests.answer(ask("rooms/news/live", *given, query=query)) == Live("news", after)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (["x"], ""),
        (["5:8", "5:9"], ""),
        ([], "after=x"),
        ([], "after=5:7&after=5:8"),
        ([], f"after=1:{'9' * 5000}"),
        ([], "after=%00"),
    ],
)
def test_what_is_no_position_is_refused(headers: list[str], query: str) -> None:
    _, requests = made()
    found = requests.answer(ask("rooms/news/live", *(("Last-Event-ID", each) for each in headers), query=query))
    assert isinstance(found, Response)
    assert found.status_code == 400


def test_whatever_is_repeated_gets_an_answer() -> None:
    _, requests = made()
    names = ("If-None-Match", "Accept-Encoding", "Last-Event-ID", "Origin", "Host", "X")
    for path in ("", "ws", "rooms/news/live", "healthz", "nowhere"):
        for name in names:
            asked = ask(path, (name, "a"), (name, "b"))
            found = requests.answer(asked)
            if isinstance(found, Response):
                assert requests.finished(asked, found).status_code in (200, 304, 400, 403, 404)
            requests.stream(asked)


def test_a_file_that_the_browser_has_in_whatever_list_is_not_sent_again() -> None:
    _, requests = made()
    for given in (['"tag"'], ['"x"', '"tag"'], ['"x", W/"tag"']):
        found = requests.answer(ask("", *(("If-None-Match", each) for each in given)))
        assert isinstance(found, Response)
        assert (found.status_code, found.body) == (304, b"")
    for given in ([], ['"x"'], ["tag"]):
        found = requests.answer(ask("", *(("If-None-Match", each) for each in given)))
        assert isinstance(found, Response)
        assert found.status_code == 200


def test_pages_that_may_connect_may_read_each_answer_and_no_others() -> None:
    house, requests = made()
    name = "Access-Control-Allow-Origin"
    for path in ("", "nowhere", "healthz", "rooms/news/live"):
        for origins, allowed in (
            ([SITE], SITE),
            (["http://localhost"], "http://localhost"),
            (["https://x"], None),
            ([], None),
        ):
            asked = ask(path, *(("Origin", each) for each in origins))
            found = requests.answer(asked)
            head = requests.stream(asked) if isinstance(found, Live) else found
            assert head is not None
            for answer in (head, requests.finished(asked, head)):
                assert answer.headers.get_all(name) == ([] if allowed is None else [allowed]), (path, origins)
            vary = "Origin" if path or head.status_code != 200 else "Accept-Encoding, Origin"
            assert head.headers.get_all("Vary") == [vary], "no cache gives it to another page"
    assert house.gateway.context.counters.turned_away == {"origin": 3}


def test_events_have_the_headers_that_keep_them_going() -> None:
    _, requests = made()
    head = requests.stream(ask("rooms/news/live")).headers
    assert head["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (head["Cache-Control"], head["X-Content-Type-Options"], head["X-Accel-Buffering"]) == (
        "no-store",
        "nosniff",
        "no",
    )


def test_the_head_of_an_answer_has_no_body() -> None:
    _, requests = made()
    asked = ask("", method="HEAD")
    found = requests.answer(asked)
    assert isinstance(found, Response)
    found = requests.finished(asked, found)
    assert (found.body, found.headers["Content-Length"]) == (b"", "260")


def test_who_finds_no_place_is_told_when_to_come_again() -> None:
    house, requests = made(max_connections=1)
    caller = Caller("192.0.2.1", False, None)
    assert requests.full_for(caller) is None
    house.browser()
    found = requests.full_for(caller)
    assert found is not None
    assert (found.status_code, found.headers["Retry-After"]) == (503, "10")
    assert house.gateway.context.counters.turned_away == {"full": 1}


@pytest.mark.parametrize(
    ("error", "status", "again"), [(NotAllowed("no"), 404, None), (DeadlineExceeded("later"), 503, "10")]
)
def test_a_room_that_can_not_be_followed_is_not_and_takes_no_place(
    error: NotAllowed | DeadlineExceeded, status: int, again: str | None
) -> None:
    house, requests = made()
    house.broker.refusals["zchat web", "join news"] = error
    browser = house.browser()
    watching = Watching(house.gateway, browser, Caller("192.0.2.1", False, None))
    answers: list[Response | None] = []

    async def follow() -> None:
        answers.append(await requests.follow(watching, Live("news", None), lambda: pytest.fail("nothing begins")))

    house.world.spawn(follow())
    house.world.run()
    (answer,) = answers
    assert answer is not None
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, again)
    assert [*house.gateway.connected] == [browser.session]


def test_whether_the_gateway_serves_is_told_under_any_name() -> None:
    house, requests = made()
    asked = Asked("GET", "healthz", "", lambda name: [])
    for up, status in ((True, 200), (False, 503)):
        house.gateway.up = up
        found = requests.answer(asked)
        assert isinstance(found, Response)
        assert found.status_code == status
