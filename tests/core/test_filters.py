"""Filters: what is refused and how, what fits, and the same by a naive judge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.core.filters import Comparison, Compound, Filter, Value, fits, parse_filter
from antiphon.wire.errors import InvalidRequestError
from tests.long import amount

ATTRIBUTES: dict[str, Value] = {"text": "b", "whole": 5, "part": 2.5, "yes": True}


def comparison(type: str, key: str, value: Any) -> Any:
    return {"type": type, "key": key, "value": value}


HOLD: list[tuple[tuple[str, str, Any], bool]] = [
    (("eq", "whole", 5), True),
    (("eq", "whole", 5.0), True),
    (("eq", "whole", "5"), False),
    (("eq", "yes", True), True),
    (("eq", "yes", 1), False),
    (("ne", "whole", "5"), True),
    (("ne", "whole", 5), False),
    (("ne", "absent", 5), True),
    (("eq", "absent", 5), False),
    (("gt", "whole", 4.9), True),
    (("gte", "part", 2.5), True),
    (("lt", "part", 2.5), False),
    (("lte", "text", "b"), True),
    (("gt", "text", "a"), True),
    (("gt", "text", 1), False),
    (("lt", "yes", True), False),
    (("gte", "yes", True), False),
    (("gt", "absent", 0), False),
    (("in", "text", ["a", "b"]), True),
    (("in", "yes", [1, "true"]), False),
    (("in", "text", []), False),
    (("nin", "text", ["a", "b"]), False),
    (("nin", "text", []), True),
    (("nin", "absent", ["a"]), True),
    (("nin", "yes", [1]), True),
]


@pytest.mark.parametrize(("wanted", "holds"), HOLD)
def test_a_comparison_holds_for_values_of_its_kind(wanted: tuple[str, str, Any], *, holds: bool) -> None:
    assert fits(parse_filter(comparison(*wanted), "filters"), ATTRIBUTES) is holds


def test_no_filter_and_compounds_of_nothing_are_what_they_are_called() -> None:
    assert fits(None, {})
    assert fits(parse_filter({"type": "and", "filters": []}, "filters"), {})
    assert not fits(parse_filter({"type": "or", "filters": []}, "filters"), {})


GOOD = comparison("eq", "a", 1)
PLACE = "tools[0].filters"


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        ([], PLACE, "invalid_type"),
        ("eq", PLACE, "invalid_type"),
        ({}, f"{PLACE}.type", "missing_required_parameter"),
        ({"type": 1}, f"{PLACE}.type", "invalid_type"),
        ({"type": "like", "key": "a", "value": 1}, f"{PLACE}.type", "invalid_value"),
        ({"type": "eq", "value": 1}, f"{PLACE}.key", "missing_required_parameter"),
        ({"type": "eq", "key": 1, "value": 1}, f"{PLACE}.key", "invalid_type"),
        ({"type": "eq", "key": "a"}, f"{PLACE}.value", "missing_required_parameter"),
        ({"type": "eq", "key": "a", "value": None}, f"{PLACE}.value", "invalid_type"),
        ({"type": "eq", "key": "a", "value": [1]}, f"{PLACE}.value", "invalid_type"),
        ({"type": "in", "key": "a", "value": 1}, f"{PLACE}.value", "invalid_type"),
        ({"type": "in", "key": "a", "value": [1, None]}, f"{PLACE}.value[1]", "invalid_type"),
        ({"type": "nin", "key": "a", "value": [1] * 1001}, f"{PLACE}.value", "array_above_max_length"),
        ({"type": "eq", "key": "a", "value": 1, "more": 1}, f"{PLACE}.more", "unknown_parameter"),
        ({"type": "and", "filters": [], "key": "a"}, f"{PLACE}.key", "unknown_parameter"),
        ({"type": "and"}, f"{PLACE}.filters", "missing_required_parameter"),
        ({"type": "or", "filters": GOOD}, f"{PLACE}.filters", "invalid_type"),
        (
            {"type": "or", "filters": [GOOD, {"type": "and", "filters": [GOOD, 7]}]},
            f"{PLACE}.filters[1].filters[1]",
            "invalid_type",
        ),
        ({"type": "or", "filters": [GOOD] * 501}, PLACE, "invalid_value"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(raw: object, param: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(raw, PLACE)
    assert (caught.value.param, caught.value.code) == (param, code)


def nested(levels: int) -> object:
    return GOOD if levels == 1 else {"type": "and", "filters": [nested(levels - 1)]}


def test_filters_are_sixteen_levels_deep_at_most() -> None:
    assert fits(parse_filter(nested(16), "filters"), {"a": 1})
    with pytest.raises(InvalidRequestError, match="16 levels"):
        parse_filter(nested(17), "filters")
    assert parse_filter({"type": "or", "filters": [GOOD] * 500}, "filters")


# by a naive judge

KEYS = st.sampled_from(["a", "b", "c"])
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from([0, 1, 2, -1, 2**70]),
    st.sampled_from([0.0, 1.0, 1.5, -0.0, 1e300]),
    st.booleans(),
    st.sampled_from(["", "a", "b", "1", "ä"]),
)
COMPARISONS = st.one_of(
    st.builds(comparison, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), KEYS, VALUES),
    st.builds(comparison, st.sampled_from(["in", "nin"]), KEYS, st.lists(VALUES, max_size=3)),
)


def compounds(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, max_size=3)})


FILTERS: st.SearchStrategy[Any] = st.recursive(COMPARISONS, compounds, max_leaves=6)


def naive(raw: Any, attributes: dict[str, Value]) -> bool:
    """The same as `fits`, read off the documentation."""
    if raw["type"] in {"and", "or"}:
        judged = [naive(each, attributes) for each in raw["filters"]]
        return False not in judged if raw["type"] == "and" else True in judged
    if raw["type"] in {"ne", "nin"}:
        return not naive({**raw, "type": {"ne": "eq", "nin": "in"}[raw["type"]]}, attributes)
    found: Any = attributes.get(raw["key"])
    value: Any = raw["value"]
    if raw["type"] == "in":
        return any(naive({**raw, "type": "eq", "value": each}, attributes) for each in value)
    kinds = [bool if isinstance(each, bool) else str if isinstance(each, str) else float for each in (found, value)]
    if found is None or kinds[0] is not kinds[1]:
        return False
    if raw["type"] == "eq":
        return bool(found == value)
    if kinds[0] is bool:
        return False
    left, right = (found, value) if raw["type"].startswith("l") else (value, found)
    return bool(left < right or (raw["type"].endswith("te") and left == right))


@settings(max_examples=amount(300, 10_000), deadline=None)
@given(FILTERS, st.dictionaries(KEYS, VALUES))
def test_what_fits_is_what_a_naive_judge_lets_pass(raw: Any, attributes: dict[str, Value]) -> None:
    assert fits(parse_filter(raw, "filters"), attributes) is naive(raw, attributes)


def test_filters_are_values() -> None:
    one: Filter = Compound(type="and", filters=(Comparison(type="in", key="a", value=(1, "b")),))
    assert parse_filter({"type": "and", "filters": [comparison("in", "a", [1, "b"])]}, "filters") == one
