"""The tool `computer`, and `computer_use_preview`: the client moves the mouse, types, and shows the screen.

The newer one takes several actions in a call, the older one a single action. Safety checks are not made here: there are
never pending ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Offer, Place
from antiphon.core.forms import Stage, Whole, parsed
from antiphon.core.recall import COMPUTER
from antiphon.wire.codec import builtins
from antiphon.wire.items import ComputerCall, Item
from antiphon.wire.tools import ComputerUsePreviewTool
from antiphon.wire.tools import Tool as ToolConfig

_SEEN: Final = "You see the screen as an image after each call; coordinates are its pixels from the top left."
DESCRIPTION: Final = f"Use the user's computer: act with mouse and keyboard, in the order of `actions`. {_SEEN}"
PREVIEW: Final = "Use the user's computer ({environment}, {width} x {height} pixels): one action of mouse or keyboard. "
_ACTION: Final[dict[str, Any]] = {
    "type": "object",
    "description": (
        "click: x, y, button; double_click: x, y; move: x, y; drag: path; scroll: x, y, scroll_x, scroll_y; "
        "keypress: keys; type: text; screenshot and wait: nothing else."
    ),
    "properties": {
        "type": {
            "type": "string",
            "enum": ["click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait"],
        },
        "x": {"type": "integer"},
        "y": {"type": "integer"},
        "button": {"type": "string", "enum": ["left", "right", "wheel", "back", "forward"]},
        "path": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                "required": ["x", "y"],
            },
            "description": "The points that the mouse is dragged along.",
        },
        "scroll_x": {"type": "integer", "description": "How far to the right, in pixels."},
        "scroll_y": {"type": "integer", "description": "How far down, in pixels."},
        "keys": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The keys to press together; for mouse actions the keys held meanwhile.",
        },
        "text": {"type": "string", "description": "The text to type."},
    },
    "required": ["type"],
}
PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"actions": {"type": "array", "items": _ACTION}},
    "required": ["actions"],
}
PREVIEW_PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"action": _ACTION},
    "required": ["action"],
}

Keys: TypeAlias = tuple[str, ...] | None


class _Point(msgspec.Struct, frozen=True):
    x: int
    y: int


class _Click(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="click"):
    button: Literal["left", "right", "wheel", "back", "forward"] = "left"
    x: int
    y: int
    keys: Keys = None


class _DoubleClick(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="double_click"):
    x: int
    y: int
    keys: Keys = None


class _Drag(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="drag"):
    path: tuple[_Point, ...]
    keys: Keys = None


class _Keypress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="keypress"):
    keys: tuple[str, ...]


class _Move(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="move"):
    x: int
    y: int
    keys: Keys = None


class _Screenshot(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="screenshot"):
    pass


class _Scroll(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="scroll"):
    x: int
    y: int
    scroll_x: int = 0
    scroll_y: int = 0
    keys: Keys = None


class _Type(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="type"):
    text: str


class _Wait(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="wait"):
    pass


Action: TypeAlias = _Click | _DoubleClick | _Drag | _Keypress | _Move | _Screenshot | _Scroll | _Type | _Wait


class _Actions(msgspec.Struct, frozen=True):
    actions: Annotated[tuple[Action, ...], msgspec.Meta(min_length=1)]


class _One(msgspec.Struct, frozen=True):
    action: Action


_ACTIONS: Final = msgspec.json.Decoder(_Actions, strict=False)


_ONE: Final = msgspec.json.Decoder(_One, strict=False)


def _read(arguments: str) -> tuple[dict[str, Any], ...]:
    return tuple(builtins(parsed(arguments, _ACTIONS).actions))


def _read_one(arguments: str) -> dict[str, Any]:
    return builtins(parsed(arguments, _ONE).action)


def _item(at: Place, actions: tuple[dict[str, Any], ...], stage: Stage) -> Item:
    return ComputerCall(id=at.item_id, call_id=at.call_id, actions=actions, status=stage)


def _item_of_one(at: Place, action: dict[str, Any], stage: Stage) -> Item:
    return ComputerCall(id=at.item_id, call_id=at.call_id, action=action, status=stage)


FORM: Final = Whole("cu_", _read, _item)
PREVIEW_FORM: Final = Whole("cu_", _read_one, _item_of_one)


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """One function `computer`."""
    if isinstance(config, ComputerUsePreviewTool):
        size = {"width": config.display_width, "height": config.display_height}
        description = PREVIEW.format(environment=config.environment, **size) + _SEEN
        return (Offer(COMPUTER, description, PREVIEW_PARAMETERS, tool=place, form=PREVIEW_FORM),)
    return (Offer(COMPUTER, DESCRIPTION, PARAMETERS, tool=place, form=FORM),)


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("computer", "computer_use_preview", offering=offered)
