"""What a docstring says of a function and of its parameters: Google, NumPy and Sphinx styles.

griffe reads them where it is installed (package griffelib); without it the first paragraph is the description, and
nothing is known of parameters.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Style: TypeAlias = Literal["numpy", "sphinx", "google"]
STYLES: Final[dict[Style, re.Pattern[str]]] = {
    "numpy": re.compile(
        r"^\s*(Parameters|Returns|Yields|Raises|Examples?|Notes?)[ \t]*\n\s*-{3,}[ \t]*$", re.MULTILINE
    ),
    "sphinx": re.compile(
        r"^\s*:(param|parameter|arg|argument|key|keyword|type|returns?|rtype|raises?)\b", re.MULTILINE
    ),
    "google": re.compile(r"^\s*(Args|Arguments|Parameters|Params|Returns?|Yields?|Raises|Examples?):", re.MULTILINE),
}
"""How each is told from the others; the first that is found, and plain text if none is."""


@dataclass(frozen=True, slots=True)
class Documentation:
    """The words for the model: of the whole, and by parameter. Empty where nothing is said."""

    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def read(docstring: str | None) -> Documentation:
    """What it says; the description is everything before the first section."""
    written = inspect.cleandoc(docstring or "").strip()
    for style, mark in STYLES.items():
        if mark.search(written):
            return _sections(written, style)
    return Documentation(written)


def _sections(written: str, style: Style) -> Documentation:
    try:
        import griffe  # noqa: PLC0415  # 80 ms that only functions with such docstrings cost
    except ImportError:
        return Documentation(written.split("\n\n", maxsplit=1)[0])
    words: list[str] = []
    parameters: dict[str, str] = {}
    cleaned = griffe.Docstring(f"\n{written}")  # it cleans again: without a first line, there is nothing to do
    sections = griffe.parse(cleaned, style, warnings=False)
    for section in sections:
        if isinstance(section, griffe.DocstringSectionText) and not parameters:
            words.append(section.value)
        elif isinstance(section, griffe.DocstringSectionParameters | griffe.DocstringSectionOtherParameters):
            parameters |= {one.name.lstrip("*"): " ".join(one.description.split()) for one in section.value}
    return Documentation("\n\n".join(words).strip(), parameters)
