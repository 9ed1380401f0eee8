"""Every way on which a request makes the server fetch something, with every spelling: nothing is connected to that may
not be, and the answer says so and tells nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.egress.corpus import CODES, SPELLINGS, TARGETS
from tests.egress.net import SITE, named, net, within
from tests.egress.sinks import REDIRECTED, SINKS, house, searched


def moves(*codes: int, path: str = "/x") -> list[str]:
    """URLs of the site that lead on to each target; all codes in turn, and behind another redirect within the site."""
    found: list[str] = []
    for place, target in enumerate(TARGETS):
        code = codes[place % len(codes)]
        once = f"/{code}{path}?{urlencode({'to': target}, safe='{}')}"
        found += [f"http://site.test{once}", f"http://site.test/{code}{path}?{urlencode({'to': once}, safe='{}')}"]
    return found


@pytest.mark.parametrize("sink", SINKS)
def test_no_spelling_is_connected_to(sink: str, tmp_path: Path) -> None:
    @within
    async def run() -> None:
        async with house(tmp_path) as place:
            await place.errors(SINKS[sink], [each.url for each in SPELLINGS])
            assert place.asked == []

    run()


@pytest.mark.parametrize("sink", SINKS)
def test_no_redirect_of_an_allowed_site_leads_inside(sink: str, tmp_path: Path) -> None:
    @within
    async def run() -> None:
        async with house(tmp_path) as place:
            path = "/x/sse" if sink == "MCP, SSE" else "/x"
            given = [url for turn in range(len(CODES)) for url in moves(*CODES[turn:], *CODES[:turn], path=path)]
            assert len(given) == len(set(given)) == 2 * len(CODES) * len(TARGETS)
            said = await place.errors(REDIRECTED[sink], given)
            assert len(place.asked) >= len(given)
            assert not any("site.test could not be reached" in words for words in said)

    run()


@pytest.mark.parametrize("sink", SINKS)
def test_the_trap_sees_whoever_is_let_through(sink: str, tmp_path: Path) -> None:
    @within
    async def run() -> None:
        async with house(tmp_path, egress={"allow": ["127.0.0.1"]}) as place:
            await SINKS[sink](place.served, [f"http://127.0.0.1:{place.trap.port}/x"])
            assert place.trap.connections >= 1
            assert set(net().tried) == {("127.0.0.1", place.trap.port)}

    run()


@pytest.mark.parametrize("sink", REDIRECTED)
def test_a_name_that_changes_its_mind_leads_nowhere(sink: str, tmp_path: Path) -> None:
    """Public when it is asked first, private when a redirect asks again."""

    @within
    async def run() -> None:
        async with house(tmp_path) as place:
            names = [f"flip{number}.test" for number in range(12)]
            named({name: [[SITE], ["127.0.0.1"] if number % 2 else ["::1"]] for number, name in enumerate(names)})
            path = f"/307/x?{urlencode({'to': f'/200/canary?port={place.trap.port}'})}"
            said = await place.errors(REDIRECTED[sink], [f"http://{name}:{{port}}{path}" for name in names])
            assert [name in words and "not an address" in words for name, words in zip(names, said, strict=True)] == [
                True
            ] * len(names)
            assert all(net().asked.count(name) >= 2 for name in names)
            assert len(place.asked) == len(names)

    run()


@within
async def test_a_connection_goes_to_the_address_that_was_checked(tmp_path: Path) -> None:
    async with house(tmp_path) as place:
        named({"turn.test": [[SITE], ["127.0.0.1"]]})
        url = f"http://turn.test:{place.trap.port}/200/page"
        calls = [{"name": "web_open_page", "arguments": {"url": url}}]
        _, told = await searched(place.served, calls)
        assert "the text of a page" in told[0]
        assert net().asked.count("turn.test") == 1
        assert place.untouched()
