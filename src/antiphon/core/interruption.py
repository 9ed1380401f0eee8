"""Items that a crash left open (docs/architecture.md, "Recovery")."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from antiphon.core.context import type_of
from antiphon.wire.codec import Unknown
from antiphon.wire.items import Item, Message, Reasoning


def interrupted(item: Item) -> Item:
    """How an item ends that was cut in the middle: empty, so that the final text holds no half sentence, and
    incomplete, or failed where its type knows no such status."""
    match item:
        case Unknown():
            return Unknown({**item.fields, "status": "incomplete"})
        case Message() | Reasoning():
            return msgspec.structs.replace(item, status="incomplete", content=())
        case _:
            ended = cast("Any", msgspec.structs.replace(item, status=_ending(item)))
            return cast("Item", ended)


def is_call(item: Item) -> bool:
    """Whether the item asks the client for something."""
    return type_of(item).endswith(("_call", "_approval_request"))


def _ending(item: Item) -> str:
    """The status of this type that says so."""
    known = msgspec.inspect.type_info(type(item))
    assert isinstance(known, msgspec.inspect.StructType)
    statuses = next((field.type for field in known.fields if field.name == "status"), None)
    values = statuses.values if isinstance(statuses, msgspec.inspect.LiteralType) else ()
    return "incomplete" if "incomplete" in values else "failed"
