"""Canonical forms: which requests are equal, what their rules say, and ids by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.replay.canon import Canon, Replacement, Rules, key
from antiphon.replay.cassette import Cassette, rules_of
from antiphon.replay.exchange import RecordingError
from antiphon.replay.numbers import Numbers, escaped, restored
from antiphon.replay.pieces import documents
from antiphon.replay.secrets import Secrets

ONE, OTHER = "file-68a1b2c3d4e5f6a7b8c9d0", "file-77ffee00112233445566aa"
CALL = "call_Ab12Cd34Ef56Gh78Ij90Kl12"


def form(request: dict[str, Any], **rules: Any) -> dict[str, Any]:
    return Canon(Rules(**rules)).form(request)


def test_nulls_and_the_order_of_keys_do_not_count() -> None:
    one, other = form({"a": 1, "b": None, "c": {"d": None, "e": [None]}}), form({"c": {"e": [None]}, "a": 1})
    assert one == other
    assert key("p", one) == key("p", other) != key("q", one)
    assert key("p", form({"a": 1})) != key("p", form({"a": 2}))


@pytest.mark.parametrize(
    "made",
    [
        ONE,
        CALL,
        "resp_68a1b2c3d4e5f6a7b8c9d0e1f2",
        "chatcmpl-0c2b9a7e-1f6a-4a8e-9e1d-3f5a7b9c1d2e",
        "chatcmpl-tool-0c2b9a7e1f6a4a8e9e1d3f5a7b9c1d2e",
        "toolu_01A09q90qw90lq917835lq9",
        "vs_AbCdEfGhIjKlMnOpQrStUvWx",
        "0c2b9a7e-1f6a-4a8e-9e1d-3f5a7b9c1d2e",
    ],
)
def test_ids_that_servers_make_are_numbered_as_they_appear(made: str) -> None:
    asked = {"a": made, "b": f"see {made}, {CALL}x9", "c": json.dumps({"n": f"first\n{made}"})}
    found, ids = Canon().asked(asked)
    assert found == {"a": "<id 1>", "b": "see <id 1>, <id 2>", "c": json.dumps({"n": "first\n<id 1>"})}
    assert ids == {made: "<id 1>", f"{CALL}x9": "<id 2>"}
    assert Canon().form(found) == found


@pytest.mark.parametrize(
    "words", ["call_customer_service", "part-time-employment", "file-system-overview", "msg_send_notification", "fs_a"]
)
def test_names_that_look_like_ids_are_none(words: str) -> None:
    assert form({"a": words}) == {"a": words}


def test_secrets_do_not_count_and_are_not_in_the_form() -> None:
    one, other = ({"headers": {"Authorization": f"Bearer {word}"}, "n": 1} for word in ("abc12345", "xyz98765"))
    assert form(one) == form(other) == {"headers": {"Authorization": "<redacted>"}, "n": 1}
    assert Canon(redact=Secrets(("long-known-value",))).form({"a": "a long-known-value!"}) == {"a": "a <redacted>!"}


def test_what_is_ignored_is_left_out() -> None:
    asked = {"temperature": 1, "messages": [{"name": "a", "content": "x"}, {"content": "y"}], "tools": [1, 2]}
    ignored = form(asked, ignore=("temperature", "messages.*.name", "tools.0", "no.such.path", "messages.9.name"))
    assert ignored == {"messages": [{"content": "x"}, {"content": "y"}], "tools": [2]}
    assert form(asked, ignore=("*",)) == {}


def test_what_is_replaced_counts_as_what_replaces_it() -> None:
    today = Replacement(r"\d{4}-\d\d-\d\d", "<date>")
    assert form({"a": "on 2026-01-02"}, replace=(today,)) == form({"a": "on 2027-03-04"}, replace=(today,))
    assert form({"a": "on 2026-01-02"}, replace=(today,)) == {"a": "on <date>"}


def test_ids_count_where_the_rules_say_so() -> None:
    assert form({"a": ONE}, ids=False) == {"a": ONE}


def test_long_texts_are_kept_as_a_beginning_and_a_digest() -> None:
    one, other = form({"a": "x" * 100 + "1"}, long=10), form({"a": "x" * 100 + "2"}, long=10)
    assert one != other
    assert one["a"].startswith("xxxxxxxxxx… <101 characters, ")
    assert form(one, long=10) == one
    assert form({"a": "x" * 10}, long=10) == {"a": "x" * 10}


def test_halves_of_characters_are_replaced() -> None:
    assert form({"a": ["\ud800 lone"]}) == {"a": ["? lone"]}


def test_a_request_that_is_too_deep_is_an_error() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RecordingError, match="too deep"):
        form({"a": deep})


RULES = """
ignore = ["temperature"]
ids = false
long = 5
[[replace]]
pattern = "[0-9]+"
by = "<n>"
"""


def test_a_folder_has_rules_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "cassette.toml").write_text(RULES)
    assert rules_of(tmp_path) == Rules(("temperature",), (Replacement("[0-9]+", "<n>"),), ids=False, long=5)
    assert Cassette(tmp_path).canon.form({"temperature": 1, "a": "7"}) == {"a": "<n>"}
    assert rules_of(tmp_path / "none") == Rules()


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("ignore = 3", "ignore"),
        ("ignored = []", "ignored"),
        ('ignore = ["a..b"]', r"ignore\[0\]"),
        ("long = -1", "long"),
        ('long = "a"', "long"),
        ('[[replace]]\npattern = "["', r"replace\[0\]"),
        ('[[replace]]\npattern = "a"\nby = "\\\\7"', r"replace\[0\]"),
        ('[[replace]]\nby = "a"', "pattern"),
        ("ids = ", "cannot be read"),
    ],
)
def test_wrong_rules_name_the_file_and_the_key(written: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "cassette.toml").write_text(written)
    with pytest.raises(RecordingError, match=rf"{tmp_path.name}/cassette.toml .*{named}"):
        Cassette(tmp_path)


def test_rules_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "cassette.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecordingError, match=r"cassette\.toml"):
        rules_of(tmp_path)


# ids in answers


def chunk(words: str, spaced: bool) -> bytes:
    document = {"id": "c", "choices": [{"index": 0, "delta": {"content": words}}]}
    return json.dumps(document, separators=None if spaced else (",", ":")).encode()


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 11, 26, 400])
def test_the_ids_of_the_request_are_numbered_in_the_answer(size: int, spaced: bool) -> None:
    ids = {ONE: "<id 1>", CALL: "<id 2>"}
    text = f"See é “{ONE}”,\n{ONE} {CALL} — and <id 1> or <id 0> but not {OTHER}."
    given = [chunk(text[start : start + size], spaced) for start in range(0, len(text), size)]
    told = documents(given, Secrets(), Numbers(ids))
    assert ONE.encode() not in b"".join(told)
    assert [restored(each, ids) for each in told] == given, "the same ids: the same bytes"
    again = [restored(each, {OTHER + "f": "<id 1>", "call_x": "<id 2>"}) for each in told]
    said = "".join(json.loads(each)["choices"][0]["delta"]["content"] for each in again)
    assert said == text.replace(ONE, OTHER + "f").replace(CALL, "call_x")


def test_an_id_that_goes_on_is_another_one() -> None:
    assert Numbers({"call_12345678": "<id 1>"}).put(b"call_123456789 call_12345678_a") == b"call_123456789 <id 1>_a"


def test_a_number_that_nothing_has_stays() -> None:
    assert restored(b'"<id 7> <id 7:0-3>"', {ONE: "<id 1>"}) == b'"<id 7> <id 7:0-3>"'
    assert restored(escaped(b"<id 1> <id 0> <id 1:2-> <id x>"), {}) == b"<id 1> <id 0> <id 1:2-> <id x>"
