"""A conversation as a reader sees it: what is asked now, what was told before, what tools have found since.

Pure: the built-in extractive model decides on this view alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from msgspec import Struct

from antiphon.core.effects import Entry, Generate
from antiphon.core.parts import part_of
from antiphon.core.sentences import Passage, split
from antiphon.wire.content import InputFile, InputImage, InputText, OutputText, Part, Text
from antiphon.wire.items import FunctionCall, FunctionCallOutput, Message

SHORT: Final = 400
"""Characters up to which a paragraph may be the question rather than a text."""

_ASKING: Final = re.compile(
    r"(?:(?:please|now|then|ok|okay|and|so|also|can you|could you|would you|based on [^,]*),?\s+)*"
    r"(?:what|who|whom|whose|when|where|which|why|how|is|are|was|were|do|does|did|can|could|should|will|tell|say|list|name|"
    r"find|give|get|show|explain|describe|summari[sz]e|answer|quote|extract|repeat|call|use|search|look|write|add|"
    r"calculate|compute|count|solve|identify|compare|translate|send|check|set|create|generate|make|schedule|book)\b",
    re.IGNORECASE,
)
_PROMPTED: Final = re.compile(r"(?:^|\n)\s*(?:question|query|q|task)\s*:\s*(.+)", re.IGNORECASE)
_CITED: Final = re.compile(r"<\|([^|<>\s]{1,200})\|>")
_NAMED: Final = re.compile(r"'filename':\s*'([^']+)'|\"filename\":\s*\"([^\"]+)\"|filename:\s*([^\s,;)]+)")
_FRAME: Final = re.compile(
    r"^(?:BEGIN|END) of .{0,80} results\.?$|^The above results were retrieved|\btool found \d+ chunks"
)
_NOTHING: Final = re.compile(r"\s*(?:\w+ tool found 0 chunks|Nothing was found )")
_HEADER: Final = re.compile(r"url: |title: |\(file |\"\"\"$")


class Result(Struct, frozen=True):
    """What a tool gave back: its name, the arguments it was called with (JSON text), its output as text."""

    name: str
    arguments: str
    output: str


class View(Struct, frozen=True):
    """A conversation, apart: the question of the user's last message, the question before it, the texts that were
    given (oldest first; instructions apart), and the results of tools since the last message."""

    question: str
    before: str
    texts: tuple[Passage, ...]
    instructions: tuple[Passage, ...]
    results: tuple[Result, ...]
    images: int = 0


def view(wanted: Generate) -> View:
    """Take the conversation apart."""
    last = _last_user(wanted.context)
    question, given, images = "", list[Passage](), 0
    before = ""
    texts: list[Passage] = []
    instructions = [Passage(wanted.request.instructions)] if wanted.request.instructions else []
    for place, entry in enumerate(wanted.context):
        item = entry.item
        if not isinstance(item, Message):
            continue
        if item.role in {"system", "developer"}:
            instructions.extend(_passages(item.content))
        elif item.role == "user":
            asked, given = question_of(list(_passages(item.content)))
            texts.extend(given)
            images = sum(isinstance(part, InputImage) for part in item.content)
            if place == last:
                question = asked
            else:
                before = asked or before
                if not asks(asked):
                    texts.append(Passage(asked))
    found = [passage for result in _results(wanted.context[:last]) for passage in passages_of(result)]
    results = tuple(_results(wanted.context[last:]))
    return View(question, before, tuple(found + texts), tuple(instructions), results, images)


def asks(text: str) -> bool:
    """Whether a sentence asks or requests something, rather than telling it."""
    return text.rstrip().endswith("?") or _ASKING.match(text.lstrip()) is not None


def question_of(parts: Sequence[Passage]) -> tuple[str, list[Passage]]:
    """What a message asks, and the texts that it gives: a question may stand before or behind a text that was pasted
    in, in a part of its own or in the same one."""
    if not parts:
        return "", []
    for place in (len(parts) - 1, 0):
        part = parts[place]
        if not part.source and (len(parts) == 1 or len(part.text) <= SHORT):
            asked, rest = _divided(part.text)
            if asked:
                others = [*parts[:place], *([Passage(rest)] if rest else []), *parts[place + 1 :]]
                return asked, list(others)
    return "", list(parts)


def passages_of(result: Result) -> list[Passage]:
    """The texts that a tool found, each with its source: web pages, cited files, or the output itself."""
    found = _pages(result.output)
    if found is not None:
        return found
    if _CITED.search(result.output):
        return list(_chunks(result.output))
    return [Passage(result.output, result.name)]


def found_nothing(result: Result) -> bool:
    """Whether a search came back empty."""
    return _pages(result.output) == [] or bool(_NOTHING.match(result.output))


def _last_user(context: Sequence[Entry]) -> int:
    for place in range(len(context) - 1, -1, -1):
        item = context[place].item
        if isinstance(item, Message) and item.role == "user":
            return place
    return 0


def _passages(content: Sequence[Part]) -> Iterator[Passage]:
    for part in content:
        match part:
            case InputText() | OutputText() | Text():
                if part.text.strip():
                    yield Passage(part.text)
            case InputFile():
                told = part_of(part)
                if told["type"] == "text":
                    yield Passage(told["text"].partition("\n")[2], str(part.filename or "file"))
            case _:
                pass


def _divided(text: str) -> tuple[str, str]:
    """The question in a text, and the rest of the text."""
    if prompted := list(_PROMPTED.finditer(text)):
        last = prompted[-1]
        return last.group(1).strip(), (text[: last.start()] + "\n\n" + text[last.end() :]).strip()
    blocks = [block for block in re.split(r"\n[ \t]*\n+", text.strip()) if block.strip()]
    if len(blocks) == 1 and len(text) <= SHORT:
        return _asked_in(text)
    for place in (len(blocks) - 1, 0):
        block = blocks[place]
        if len(block) <= SHORT and asks(block):
            return " ".join(block.split()), "\n\n".join(blocks[:place] + blocks[place + 1 :])
    lines = text.strip().split("\n")
    for place in (len(lines) - 1, 0):
        if len(lines) > 1 and len(lines[place]) <= SHORT and lines[place].rstrip().endswith("?"):
            return lines[place].strip(), "\n".join(lines[:place] + lines[place + 1 :])
    if len(blocks) == 1 and len(text) > SHORT:
        return _asked_in(text)
    return "", text


def _asked_in(text: str) -> tuple[str, str]:
    """The sentences of a paragraph that ask, and those that tell. One that only tells is all question: it may be a
    request in other words."""
    asking: list[str] = []
    telling: list[str] = []
    for sentence in split(text):
        (asking if asks(sentence) else telling).append(sentence)
    if asking:
        return " ".join(asking), " ".join(telling)
    return ("", text) if len(text) > SHORT else (" ".join(telling), "")


def _results(context: Sequence[Entry]) -> Iterator[Result]:
    calls = {entry.item.call_id: entry.item for entry in context if isinstance(entry.item, FunctionCall)}
    for entry in context:
        if entry.exchange is not None:
            yield Result(entry.exchange.name, entry.exchange.arguments, entry.exchange.output)
        elif isinstance(entry.item, FunctionCallOutput):
            call = calls.get(entry.item.call_id)
            output = entry.item.output
            if not isinstance(output, str):
                output = "\n".join(passage.text for passage in _passages(output))
            yield Result(call.name if call else "the tool", call.arguments if call else "{}", output)


def _pages(output: str) -> list[Passage] | None:
    """Search results as JSON: `{"top_k": [{url, title, content}]}` or `{"results": [...]}`; None: it is none."""
    if not output.lstrip().startswith("{"):
        return None
    try:
        found: Any = json.loads(output)
    except (ValueError, RecursionError):
        return None
    listed = cast("dict[str, Any]", found).get("top_k", cast("dict[str, Any]", found).get("results"))
    if not isinstance(listed, list):
        return None
    return [_page(cast("dict[str, Any]", page)) for page in cast("list[Any]", listed) if isinstance(page, dict)]


def _page(page: dict[str, Any]) -> Passage:
    url, title = str(page.get("url") or ""), str(page.get("title") or page.get("filename") or "")
    text = str(page.get("content") or page.get("text") or page.get("snippet") or "")
    label = " ".join(title.split()).replace("[", "(").replace("]", ")") or url
    return Passage(text, f"[{label}]({url})" if url else label)


def _chunks(output: str) -> Iterator[Passage]:
    """The chunks of a file search: a line with the citation to use, then the text up to the next such line."""
    mark = source = ""
    lines: list[str] = []
    for line in output.split("\n"):
        cited = _CITED.search(line)
        if _FRAME.search(line) or cited:
            if lines and mark:
                yield Passage("\n".join(lines), source, mark)
            lines = []
            mark = cited.group() if cited and not _FRAME.search(line) else ""
            named = _NAMED.search(line)
            source = next(filter(None, named.groups()), "") if named else ""
        elif (lines or not _HEADER.match(line)) and line != '"""':
            lines.append(line)
    if lines and mark:
        yield Passage("\n".join(lines), source, mark)
