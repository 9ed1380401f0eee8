"""What a tool choice leaves to be called, in all of its forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.core.choice import chosen
from antiphon.core.effects import Offer
from antiphon.wire.codec import encode
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.requests import parse_create
from antiphon.wire.tools import NamedChoice

DECLARED: list[dict[str, Any]] = [
    {"type": "function", "name": "f", "parameters": {}},
    {"type": "custom", "name": "c"},
    {"type": "web_search_2025_08_26"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "computer"},
    {"type": "apply_patch"},
    {"type": "shell"},
]
NAMES = ["f", "c", "web_search", "web_open_page", "file_search", "computer", "apply_patch", "shell"]
OFFERS = [Offer(name, tool=place) for name, place in zip(NAMES, [0, 1, 2, 2, 3, 4, 5, 6], strict=True)]


def choose(choice: Any) -> tuple[list[str], Any]:
    """The names that are left, and the choice among them: a mode, or the name that is forced."""
    request = parse_create(encode({"model": "m", "input": "x", "tools": DECLARED, "tool_choice": choice}))
    offers, left = chosen(request.tool_choice, OFFERS, request.tools)
    return [offer.name for offer in offers], left.name if isinstance(left, NamedChoice) else left


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_a_mode_leaves_everything(mode: str) -> None:
    assert choose(mode) == (NAMES, mode)


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "function", "name": "f"}, "f"),
        ({"type": "custom", "name": "c"}, "c"),
        *(
            ({"type": kind}, "web_search")
            for kind in ("web_search", "web_search_preview", "web_search_preview_2025_03_11")
        ),
        *(({"type": kind}, "computer") for kind in ("computer", "computer_use", "computer_use_preview")),
        *(({"type": kind}, kind) for kind in ("file_search", "apply_patch", "shell")),
    ],
)
def test_one_that_is_named_is_forced(choice: dict[str, str], name: str) -> None:
    assert choose(choice) == (NAMES, name)


@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ([{"type": "function", "name": "f"}], ["f"]),
        ([{"type": "web_search"}], ["web_search", "web_open_page"]),
        ([{"type": "shell"}, {"type": "custom", "name": "c"}], ["c", "shell"]),
    ],
)
def test_allowed_tools_leave_nothing_else(allowed: list[dict[str, str]], names: list[str], mode: str) -> None:
    assert choose({"type": "allowed_tools", "mode": mode, "tools": allowed}) == (names, mode)


@pytest.mark.parametrize(
    "choice",
    [
        *({"type": kind} for kind in ("code_interpreter", "image_generation")),
        *({"type": kind, "name": "nobody"} for kind in ("function", "custom")),
        {"type": "function", "name": "c"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "code_interpreter"}]},
    ],
)
def test_what_is_not_offered_is_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        choose(choice)
    assert raised.value.param == "tool_choice"
    assert json.dumps(raised.value.message)
