"""What is wrong with a request, in OpenAI's codes and words (checklist 0.1).

msgspec finds the fault and says where; this module turns that into `code`, `param` and message. `param` is the dotted
path with `[i]`. Nothing but `InvalidRequestError` leaves here, whatever bytes come in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.faults import Fault, as_array, as_object, described, dotted, locate, phrases, supported

T = TypeVar("T")

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_SKIP: Final = msgspec.json.Decoder(Raw)
_MARGIN: Final = 200
_ANY: Final = msgspec.json.Decoder[Any]()

_PLACE: Final = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>.*)`$", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL)
_BOUND: Final = re.compile(r"Expected `(?P<kind>int|float)` (?P<sign>[<>]=?) (?P<bound>\S+)$")
_LENGTH: Final = re.compile(r"Expected `(?P<kind>str|array|object)` of length (?P<sign>[<>]=) (?P<bound>\d+)$")
_PATTERN: Final = re.compile(r"Expected `str` matching regex (?P<pattern>.*)$", re.DOTALL)
_TYPE: Final = re.compile(r"Expected `(?P<wanted>[^`]+)`(?:, got `(?P<got>[^`]+)`)?$")

_NOUNS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_JSON_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    dict: "object",
    list: "array",
}


def decode_object(body: bytes) -> dict[str, Raw]:
    """The top level of a JSON object, values still as bytes; raises `invalid_json` for anything else.

    What passes can be written again inside of a response or an event: a body is refused that could not be read
    `_MARGIN` levels deeper.
    """
    try:
        if body.count(b"[") + body.count(b"{") > _MARGIN:
            _SKIP.decode(b"".join((b"[" * _MARGIN, body, b"]" * _MARGIN)))
        return _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise unreadable(error) from None


def read(raw: bytes | Raw, decoder: msgspec.json.Decoder[T], path: str = "") -> T:
    """Decode; what does not fit the decoder's type becomes the error that names its place under `path`."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(error, plain(raw), path, decoder.type) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise unreadable(error) from None


def plain(raw: bytes | Raw) -> Any:
    """The value as dicts, lists and scalars; raises `invalid_json` when it cannot be read."""
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise unreadable(error) from None


def invalid(
    error: msgspec.ValidationError, value: object, path: str = "", wanted: object = None
) -> InvalidRequestError:
    """The error a client is told when `value`, which stands at `path` of the body, did not convert.

    `wanted` is the type it was converted to; with it the message can list the supported values.
    """
    message = str(error)
    fault = Fault(path, value, described(wanted) if wanted is not None else None)
    if place := _PLACE.search(message):
        message = message[: place.start()]
        fault = _blamed(locate(fault, place["path"], keys=bool(place["key"])), message)
    if found := _FIELD.match(message):
        name = dotted(fault.path, found["name"])
        return missing_parameter(name) if found["what"] == "missing required" else unknown_parameter(name)
    if message.startswith(("Invalid value", "Invalid enum value")):
        return invalid_value(fault.path, fault.value, supported(fault.wanted))
    return _out_of_bounds(fault, message) or _mistyped(fault, message)


def unreadable(error: Exception) -> InvalidRequestError:
    """The body is not a JSON object that can be read."""
    why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InvalidRequestError(f"The body of the request must be a JSON object: {why}.", code="invalid_json")


def missing_parameter(name: str) -> InvalidRequestError:
    """A parameter that must be given is not."""
    return InvalidRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def unknown_parameter(name: str) -> InvalidRequestError:
    """A parameter that this endpoint does not have."""
    shown = quoted(name)
    return InvalidRequestError(f"Unknown parameter: {shown}.", param=shown.strip("'"), code="unknown_parameter")


def invalid_type(path: str, wanted: str, value: object) -> InvalidRequestError:
    """`wanted` in words: "an array of objects"."""
    return InvalidRequestError(
        f"Invalid type for '{path}': expected {wanted}, but got {noun(value)} instead.",
        param=path or None,
        code="invalid_type",
    )


def invalid_value(path: str, value: object, allowed: Iterable[object] = ()) -> InvalidRequestError:
    """A value outside its closed set; `allowed` is listed where known."""
    listed = [quoted(one) for one in allowed]
    tail = f" Supported values are: {_and(listed)}." if listed else ""
    return InvalidRequestError(f"Invalid value: {quoted(value)}.{tail}", param=path or None, code="invalid_value")


def out_of_range(path: str, kind: str, bound: str, value: object) -> InvalidRequestError:
    """`kind` is integer or decimal, `bound` a comparison: ">= 16"."""
    side, limit = ("below", "minimum") if bound.startswith(">") else ("above", "maximum")
    return InvalidRequestError(
        f"Invalid '{path}': {kind} {side} {limit} value. Expected a value {bound}, but got {quoted(value)} instead.",
        param=path,
        code=f"{kind}_{side}_{limit[:3]}_value",
    )


def array_too_long(path: str, most: int, length: int) -> InvalidRequestError:
    """More elements than allowed."""
    return _length(path, "array", ("<=", most), length)


def empty_array(path: str) -> InvalidRequestError:
    """No element where at least one is needed."""
    return _length(path, "array", (">=", 1), 0)


def wrong_prefix(path: str, value: str, prefix: str) -> InvalidRequestError:
    """An id of another kind of object; checked before existence."""
    return InvalidRequestError(
        f"Invalid '{path}': {quoted(value)}. Expected an ID that begins with '{prefix}'.",
        param=path,
        code="invalid_value",
    )


def noun(value: object) -> str:
    """What kind of JSON value it is, in words."""
    return _NOUNS[_JSON_NAMES.get(type(value), "object")]


def quoted(value: object) -> str:
    """The value as a message shows it, cut where it is long."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 200 else f"'{value[:200]}...'"
    if isinstance(value, dict | list):
        return noun(value)  # pyright: ignore[reportUnknownArgumentType] (any JSON)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return msgspec.json.encode(value).decode()


def _and(words: Sequence[str]) -> str:
    return " and ".join(words) if len(words) <= 2 else f"{', '.join(words[:-1])}, and {words[-1]}"


def _or(words: Sequence[str]) -> str:
    if len(words) == 1:
        return words[0]
    rest = [word.split(" ", 1)[-1] for word in words[1:]]
    return f"one of {', '.join([words[0], *rest[:-1]])} or {rest[-1]}"


def _out_of_bounds(fault: Fault, message: str) -> InvalidRequestError | None:
    if found := _BOUND.match(message):
        kind = "integer" if found["kind"] == "int" else "decimal"
        return out_of_range(fault.path, kind, f"{found['sign']} {found['bound'].removesuffix('.0')}", fault.value)
    if found := _LENGTH.match(message):
        return _length(fault.path, found["kind"], (found["sign"], int(found["bound"])), _size(fault.value))
    if found := _PATTERN.match(message):
        return InvalidRequestError(
            f"Invalid '{fault.path}': string does not match pattern. Expected a string that matches the pattern "
            f"{found['pattern']}.",
            param=fault.path,
            code="invalid_value",
        )
    return None


def _length(path: str, kind: str, bound: tuple[str, int], size: int) -> InvalidRequestError:
    """Too long or too short; `bound` is the comparison that does not hold, `kind` str, array or object."""
    sign, limit = bound
    name, over = {"str": "string"}.get(kind, kind), sign == "<="
    article = "a" if name == "string" else "an"
    if name == "object":
        what, code = f"too {'many' if over else 'few'} properties", f"object_{_side(over)}_properties"
        wanted = f"an object with at {'most' if over else 'least'} {limit} properties"
        got = f"an object with {size} properties"
    elif size == 0:
        what, code = f"empty {name}", f"empty_{name}"
        wanted, got = f"{article} {name} with minimum length {limit}", f"an empty {name}"
    else:
        what, code = f"{name} too {'long' if over else 'short'}", f"{name}_{_side(over)}_length"
        wanted = f"{article} {name} with {'maximum' if over else 'minimum'} length {limit}"
        got = f"{article} {name} with length {size}"
    text = f"Invalid '{path}': {what}. Expected {wanted}, but got {got} instead."
    return InvalidRequestError(text, param=path or None, code=code)


def _side(over: bool) -> str:
    return "above_max" if over else "below_min"


def _mistyped(fault: Fault, message: str) -> InvalidRequestError:
    found = _TYPE.match(message)
    if found is None:  # "Number out of range" and its like
        text = f"Invalid '{fault.path}': {message}."
        return InvalidRequestError(text, param=fault.path or None, code="invalid_value")
    words = phrases(fault.wanted) or [_NOUNS.get(word, word) for word in found["wanted"].split(" | ") if word != "null"]
    return invalid_type(fault.path, _or(words or ["null"]), fault.value)


def _blamed(faults: Sequence[Fault], message: str) -> Fault:
    """Of the values that the path may mean, the first that the message can be about."""
    if len(faults) == 1:
        return faults[0]
    return next((fault for fault in faults if _fits(message, fault.value)), faults[0])


def _fits(message: str, value: object) -> bool:
    if found := _LENGTH.match(message):
        size, bound = _size(value), int(found["bound"])
        return size > bound if found["sign"] == "<=" else size < bound
    found = _TYPE.match(message)
    return found is None or found["got"] is None or _JSON_NAMES.get(type(value)) == found["got"]


def _size(value: object) -> int:
    return len(value) if isinstance(value, str) else len(as_object(value)) or len(as_array(value))
