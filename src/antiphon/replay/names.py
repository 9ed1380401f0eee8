"""The tools of MCP servers under their plain names.

We show a model the tool of an MCP server as `label__name`; others show it by its own name. A generation that was not
recorded as we ask for it is looked up in that form too, and the calls of its answer are given our names again. Law:
a plain name stands for one offer, or is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from antiphon.core.deltas import CallDelta, Delta
from antiphon.core.effects import Offer

Form: TypeAlias = dict[str, Any]


def plain(offers: Sequence[Offer]) -> Mapping[str, str]:
    """The plain names of these offers, by the names that they are offered under; empty where nothing would change."""
    names = {offer.name: offer.member if offer.server and offer.member else offer.name for offer in offers}
    unique = len(set(names.values())) == len(names)
    return {name: own for name, own in names.items() if own != name} if unique else {}


def renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> Form:
    """The chat completion request with these names in its tools, its choice of one, and the calls of its messages."""
    changed: Form = {**body, "messages": [_message(message, names) for message in body["messages"]]}
    if "tools" in body:
        changed["tools"] = [_function(tool, names) for tool in body["tools"]]
    if isinstance(choice := body.get("tool_choice"), dict):
        changed["tool_choice"] = _function(cast("Form", choice), names)
    return changed


def offered(deltas: Sequence[Delta], names: Mapping[str, str]) -> Sequence[Delta]:
    """What was generated, its calls under the names that are offered."""
    ours = {own: name for name, own in names.items()}
    return [
        replace(delta, name=ours.get(delta.name or "", delta.name)) if isinstance(delta, CallDelta) else delta
        for delta in deltas
    ]


def _message(message: Form, names: Mapping[str, str]) -> Form:
    if not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": [_function(call, names) for call in message["tool_calls"]]}


def _function(holder: Form, names: Mapping[str, str]) -> Form:
    """What holds a function, with the name that is meant."""
    function: Form = holder["function"]
    return {**holder, "function": {**function, "name": names.get(function["name"], function["name"])}}
