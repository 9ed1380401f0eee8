"""Pages through the real door and the real extraction, from a site on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from antiphon.adapters.browser import HELD, LONGEST_URL, Browser, Browsing
from antiphon.adapters.clock import SeededClock
from antiphon.adapters.egress.addresses import Rules, listed
from antiphon.adapters.egress.door import HttpDoor
from antiphon.adapters.extracting.extraction import Limits, Workers
from antiphon.core.pages import Page
from antiphon.ports.pages import PageError
from tests.site import Site, site

DEADLINE = 20.0
EXAMPLES = Path(__file__).parents[2] / "examples"
BROWSING = Browsing(size=500_000, seconds=5.0)


class Net:
    """A browser and the site that it reads."""

    def __init__(self, browser: Browser, served: Site) -> None:
        self.browser = browser
        self.site = served

    async def read(self, path: str, project: str = "default", only: str = "") -> Page:
        url = path if "://" in path else self.site.at(path)
        async with asyncio.timeout(DEADLINE):
            return await self.browser.read(project, url, lambda one: only in one)


def browser(door: HttpDoor, extraction: Workers, browsing: Browsing = BROWSING) -> Browser:
    return Browser(door, extraction, SeededClock(), browsing)


@pytest.fixture
async def extraction(tmp_path: Path) -> AsyncGenerator[Workers]:
    workers = Workers(Limits(workers=1), tmp_path)
    yield workers
    await workers.close()


@pytest.fixture
async def door() -> AsyncGenerator[HttpDoor]:
    made = HttpDoor(Rules(allow=listed(["127.0.0.1"])))
    yield made
    await made.close()


@pytest.fixture
async def net(door: HttpDoor, extraction: Workers) -> AsyncGenerator[Net]:
    async with site() as served:
        yield Net(browser(door, extraction), served)


async def test_a_page_is_its_title_and_what_a_reader_sees(net: Net) -> None:
    page = await net.read("/lighthouse")
    assert (page.url, page.title) == (net.site.at("/lighthouse"), "The lighthouse")
    assert "The lamp was first lit in 1891." in page.text
    assert "steal" not in page.text
    assert not {"Authorization", "Cookie", "Referer"} & net.site.headers[0].keys()


async def test_a_pdf_is_read(net: Net) -> None:
    net.site.pages["/mill"] = ((EXAMPLES / "tide-mill.pdf").read_bytes(), "application/pdf")
    page = await net.read("/mill")
    assert "mill" in page.text.lower()


@pytest.mark.parametrize("media", ["text/plain; charset=utf-8", "application/json", "text/markdown"])
async def test_plain_text_is_read(net: Net, media: str) -> None:
    net.site.pages["/notes"] = (b'{"lamp": "lit"}', media)
    assert "lamp" in (await net.read("/notes")).text


async def test_a_page_is_fetched_once_also_by_two_at_once_and_each_project_fetches_its_own(net: Net) -> None:
    first, second = await asyncio.gather(net.read("/lighthouse"), net.read("/lighthouse#part"))
    assert first is second
    await net.read("/lighthouse", project="other")
    assert net.site.asked == ["/lighthouse"] * 2


async def test_a_page_is_fetched_again_when_its_time_is_over(net: Net, door: HttpDoor, extraction: Workers) -> None:
    net.browser = browser(door, extraction, Browsing(kept=0))
    await net.read("/lighthouse")
    await net.read("/lighthouse")
    assert net.site.asked == ["/lighthouse"] * 2


async def test_few_pages_are_kept(net: Net) -> None:
    for number in range(HELD + 1):
        net.site.pages[f"/{number}"] = (b"text", "text/plain")
        await net.read(f"/{number}")
    await net.read("/1")
    await net.read("/0")
    assert net.site.asked[-2:] == [f"/{HELD}", "/0"]


async def test_a_page_of_much_text_is_read_and_keeps_the_others_kept(
    net: Net, door: HttpDoor, extraction: Workers
) -> None:
    net.browser = browser(door, extraction, Browsing())
    size = 45 * 1024 * 1024
    net.site.pages["/long"] = (b"The keeper wrote in his book.\n" * (size // 30), "text/plain")
    await net.read("/lighthouse")
    assert len((await net.read("/long")).text) > 0.9 * size
    await net.read("/lighthouse")
    assert net.site.asked == ["/lighthouse", "/long"]


@pytest.mark.parametrize(
    ("path", "found", "words"),
    [
        ("/gone", 404, "127.0.0.1 answered with HTTP 404."),
        ("/broken", 500, "127.0.0.1 answered with HTTP 500."),
        ("/film", (b"x", "video/mp4"), "127.0.0.1 answered with video/mp4, which cannot be read as a page."),
        ("/empty", (b"<html></html>", "text/html"), "127.0.0.1: The page has no text."),
        ("/huge", (b"x" * 600_000, "text/plain"), "The answer of 127.0.0.1 is larger than 500000 bytes."),
        ("/bad", (b"%PDF-1.4 nothing", "application/pdf"), "127.0.0.1: "),
        ("/loop", "/loop", "127.0.0.1 redirects too often."),
        ("/in", "http://10.0.0.1/x?secret", "10.0.0.1 is not an address that this server connects to."),
    ],
)
async def test_what_cannot_be_read_is_said(
    net: Net, path: str, found: tuple[bytes, str] | int | str, words: str
) -> None:
    net.site.pages[path] = found
    with pytest.raises(PageError) as raised:
        await net.read(path)
    assert str(raised.value).startswith(words)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd", "http://a b/"]
)
async def test_what_is_not_public_is_not_asked(net: Net, url: str) -> None:
    with pytest.raises(PageError):
        await net.read(url)


async def test_domains_hold_for_the_page_and_for_where_it_has_moved(net: Net) -> None:
    with pytest.raises(PageError, match="not one of the domains"):
        await net.read("/lighthouse", only="nowhere")
    assert net.site.asked == []
    net.site.pages["/start"] = "/lighthouse"
    assert "1891" in (await net.read("/start")).text
    with pytest.raises(PageError, match="not one of the domains"):
        await net.read("/start", only="/start")


async def test_a_url_has_a_length(net: Net) -> None:
    with pytest.raises(PageError, match="longer than"):
        await net.read("/" + "x" * LONGEST_URL)


async def test_a_page_that_does_not_come_is_given_up(net: Net, door: HttpDoor, extraction: Workers) -> None:
    net.browser = browser(door, extraction, Browsing(seconds=0.2))
    with pytest.raises(PageError, match="did not answer in time"):
        await net.read("/silence")
    async with asyncio.timeout(DEADLINE):
        await net.site.left.wait()


async def test_cancelling_stops_the_fetch(net: Net) -> None:
    running = asyncio.create_task(net.read("/silence"))
    async with asyncio.timeout(DEADLINE):
        await net.site.waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await net.site.left.wait()
