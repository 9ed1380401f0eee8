r"""Bytes of a text file as text. Law: what cannot be read for certain is refused, never guessed into nonsense.

In this order: byte order marks; UTF-16 and UTF-32 without one, by where their zeros are; UTF-8; UTF-8 with a few broken
bytes, which become U+FFFD; cp1252, for Western texts only. Lines end in `\n` afterwards.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from antiphon.ports.extractor import ExtractionError

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of utf-16-le
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS: Final = (
    ("utf-32-le", 4, (1, 2, 3), 0),
    ("utf-32-be", 4, (0, 1, 2), 3),
    ("utf-16-le", 2, (1,), 0),
    ("utf-16-be", 2, (0,), 1),
)
"""How Latin letters look in wide encodings: bytes a character, which of them are zero, and one that never is."""
_CONTROLS: Final = "".join(map(chr, [*range(9), 11, *range(14, 27), *range(28, 32), 127]))
"""Characters that texts do not have; tab, newline, form feed, carriage return and escape are not among them."""
_CONTROL: Final = re.compile(f"[{_CONTROLS}]")
_WESTERN: Final = re.compile(r"[^\W\d_]|[\xa0§©«®°±·»€‚„…‹‘’“”•–—™›]")
SAMPLE: Final = 64 * 1024
r"""Bytes of which the share of strange ones is counted."""


def decode(content: bytes) -> str:
    """The text. Raises ExtractionError: `invalid_file` for an empty one and for an encoding that is not known,
    `unsupported_file` for what is not text."""
    if not content.strip():
        raise ExtractionError("invalid_file", "The file is empty.")
    text = _marked(content)
    if text is None:
        text = _unmarked(content)
    if "\0" in text or len(_CONTROL.findall(text, 0, SAMPLE)) * 50 > min(len(text), SAMPLE):
        raise _binary()
    text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    if not text.strip():
        raise ExtractionError("invalid_file", "The file is empty.")
    return text


def textual(head: bytes) -> bool:
    """Whether the beginning of a file looks like text; cut anywhere, so a broken last character is no matter."""
    if head.startswith(tuple(mark for mark, _ in _MARKS)):
        return True
    if b"\0" in head:
        return _spaced(head) is not None
    return len(_CONTROL.findall(head.decode("latin-1"))) * 50 <= len(head)


def _binary() -> ExtractionError:
    return ExtractionError("unsupported_file", "The file is not text: it holds binary content.")


def _unknown() -> ExtractionError:
    return ExtractionError(
        "invalid_file", "The encoding of the file could not be recognised: save it as UTF-8 and upload it again."
    )


def _marked(content: bytes) -> str | None:
    for mark, name in _MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(name)
            except UnicodeDecodeError:
                raise ExtractionError(
                    "invalid_file", f"The file says that it is {name.upper()}, but it is not valid."
                ) from None
    return None


def _spaced(content: bytes) -> str | None:
    """The wide encoding whose zeros are where they belong, for most of the beginning."""
    head = content[: SAMPLE // 4 * 4]
    for name, width, zeros, other in _ZEROS:
        characters = len(head) // width
        if head[other::width].count(0) * 50 <= characters and all(
            head[zero::width].count(0) * 10 >= characters * 7 for zero in zeros
        ):
            return name
    return None


def _unmarked(content: bytes) -> str:
    if b"\0" in content:
        name = _spaced(content)
        if name is None:
            raise _binary()
        try:
            return content.decode(name)
        except UnicodeDecodeError:
            raise _binary() from None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return _broken(content)


def _broken(content: bytes) -> str:
    """Not UTF-8, or not quite."""
    text = content.decode(errors="replace")
    bad = text.count("\ufffd")
    if bad * 10 <= len(text) - len(text.encode("ascii", "ignore")) - bad:
        return text
    western = _western(content)
    if western is not None:
        return western
    if bad * 1000 <= len(text):
        return text
    raise (_unknown() if textual(content[:SAMPLE]) else _binary())


def _western(content: bytes) -> str | None:
    """As cp1252, when what is not ASCII is as rare as in Western languages and of their letters and marks."""
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return None
    high = [character for character in text[:SAMPLE] if character > "\x7f"]
    fitting = sum(1 for character in high if _WESTERN.match(character))
    return None if len(high) * 4 > len(text[:SAMPLE]) or fitting * 10 < len(high) * 9 else text
