"""What the operator says of where the server may go, and what the environment cannot change about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from antiphon.settings import SettingsError, load
from tests.egress.net import SITE, named, net, within
from tests.egress.sinks import SINKS, House, house, searched
from tests.mcp.stage import tool
from tests.whole.house import Json

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
INSIDE = "10.66.0.7"


async def opened(place: House, url: str) -> str:
    """What the model is told of a page."""
    _, told = await searched(place.served, [{"name": "web_open_page", "arguments": {"url": url}}])
    return told[0]


def egress(**variables: str) -> Json:
    """The section as variables set it."""
    loaded = load({f"ANTIPHON_EGRESS_{name.upper()}": value for name, value in variables.items()})
    return loaded.settings.egress.model_dump()


@pytest.mark.parametrize(
    ("variables", "host", "passes"),
    [
        ({}, SITE, True),
        ({}, "site.test", True),
        ({}, INSIDE, False),
        ({}, "wiki.lan", False),
        ({"allow": "10.66.0.0/16, fd00::/8"}, INSIDE, True),
        ({"allow": "10.66.0.0/16"}, "wiki.lan", True),
        ({"allow": "10.66.0.0/16"}, "10.67.0.1", False),
        ({"allow": "wiki.lan"}, "WIKI.lan.", True),
        ({"allow": "wiki.lan"}, INSIDE, False),
        ({"allow": "wiki.lan"}, "other.lan", False),
        ({"allow": "*.lan"}, "wiki.lan", True),
        ({"allow": "10.0.0.0/8", "deny": "10.66.0.0/24"}, INSIDE, False),
        ({"allow": "10.0.0.0/8", "deny": "wiki.lan"}, "wiki.lan", False),
        ({"allow": "wiki.lan", "deny": "10.0.0.0/8"}, "wiki.lan", False),
        ({"allow": "wiki.lan", "deny": "*.lan"}, "wiki.lan", False),
        ({"deny": "site.test"}, "site.test", False),
        ({"deny": "93.184.0.0/16"}, "site.test", False),
        ({"deny": SITE}, f"[::ffff:{SITE}]", False),
        ({"deny": "0.0.0.0/0, ::/0"}, "site.test", False),
        ({"deny": "0.0.0.0/0, ::/0", "allow": "site.test"}, "site.test", False),
    ],
)
def test_the_lists_of_the_operator_decide(variables: dict[str, str], host: str, passes: bool, tmp_path: Path) -> None:
    @within
    async def run() -> None:
        async with house(tmp_path, egress=egress(**variables)) as place:
            net().served[INSIDE] = net().served[SITE]
            named({"wiki.lan": [[INSIDE]], "other.lan": [[INSIDE]]})
            told = await opened(place, f"http://{host}/200/page")
            assert ("the text of a page" in told) is passes
            assert ("is not an address that this server connects to" in told) is not passes
            assert bool(place.asked) is passes
            assert place.untouched()

    run()


def test_a_list_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    @within
    async def run() -> None:
        with pytest.raises(SettingsError, match="http://wiki"):
            async with house(tmp_path, egress=egress(allow="http://wiki/")):
                raise AssertionError

    run()


def test_a_server_of_the_settings_passes_by_its_name_and_leads_nowhere_else(tmp_path: Path) -> None:
    @within
    async def run() -> None:
        own: list[Json] = [{"name": "connector_gmail", "url": f"http://own.lan/307/x?to=http://{INSIDE}/canary"}]
        async with house(tmp_path, mcp=own) as place:
            net().served["10.1.1.1"] = net().served[SITE]
            named({"own.lan": [["10.1.1.1"]]})
            declared = [
                {"type": "mcp", "server_label": "own", "connector_id": "connector_gmail"},
                tool("http://own.lan/x"),
            ]
            response = await place.served.create(model="s", input="x", tools=declared)
            connector, direct = (item["error"] for item in response["output"][:2])
            assert "own.lan redirects to another place, which is not followed" in connector
            assert "own.lan is not an address that this server connects to" in direct
            assert set(place.asked) == {"POST /307/x"}
            assert place.untouched()

    run()


@pytest.mark.parametrize("excluded", ["", "site.test", "*"])
def test_a_proxy_of_the_environment_is_not_used(excluded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names itself, behind the rules."""
    (tmp_path / "netrc").write_text("default login user password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("NO_PROXY", excluded)

    @within
    async def run() -> None:
        async with house(tmp_path) as place:
            for name in PROXIES:
                monkeypatch.setenv(name, f"http://127.0.0.1:{place.trap.port}")
            assert "the text of a page" in await opened(place, "http://site.test/200/page")
            for sink in SINKS.values():
                await place.errors(sink, ["http://intranet/canary", "http://169.254.169.254/canary"])
            fetched: list[Json] = [{"type": "input_file", "file_url": "http://site.test/200/file"}]
            body: Json = {"model": "s", "input": [{"role": "user", "content": fetched}]}
            assert (await place.served.ask("POST", "/responses", body))[0] == 200
            listed = await place.served.create(model="s", input="x", tools=[tool("http://site.test/200/mcp")])
            assert "text/plain" in listed["output"][0]["error"]
            assert {line.rpartition("/")[2] for line in place.asked} == {"page", "file", "mcp"}
            assert not any("authorization" in headers for headers in place.headers)
            assert place.untouched()

    run()


def test_an_image_by_url_is_the_endpoints_to_fetch(tmp_path: Path) -> None:
    """No sink of ours: it is passed on as it stands."""

    @within
    async def run() -> None:
        async with house(tmp_path) as place:
            url = f"http://127.0.0.1:{place.trap.port}/canary.png"
            content: list[Any] = [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": "x"}]
            response = await place.served.create(model="s", input=[{"role": "user", "content": content}])
            assert response["status"] == "completed"
            assert place.untouched()
            assert net().asked == []

    run()
