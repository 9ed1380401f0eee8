"""Random scripts: what a Responses server says over the requests of one turn, legal in every order that servers use.

A script is plans of replies; a plan is drawn by hypothesis and becomes events only when it is written. Ids, texts and
numbers are counted, so that a script is the same wherever it is played.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from hypothesis import strategies as st

Json: TypeAlias = dict[str, Any]
Ending: TypeAlias = Literal["completed", "incomplete", "filtered", "failed", "error", "eof", "broken"]
"""How a reply ends: with its event; `eof`: the stream just stops; `broken`: the connection does."""

_CUT: Final[tuple[Ending, ...]] = ("eof", "broken")
_WHOLE: Final[tuple[Ending, ...]] = ("completed", "incomplete", "filtered")
CUT: Final = frozenset(_CUT)
WHOLE: Final = frozenset(_WHOLE)
"""Endings after which the server keeps what was said."""
SERVER: Final = (
    "file_search_call",
    "web_search_call",
    "mcp_call",
    "mcp_list_tools",
    "code_interpreter_call",
    "image_generation_call",
)
STRANGE: Final[Json] = {"type": "response.tides.rising", "height": 3}
"""An event of the future."""

# plans


@dataclass(frozen=True, slots=True)
class Say:
    """A message: its parts are pieces of a text or of a refusal; `cites` after a text is an annotation."""

    parts: tuple[tuple[Literal["text", "refusal"], tuple[str, ...]], ...]
    cites: bool = False


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning: a summary or the text itself."""

    pieces: tuple[str, ...]
    kind: Literal["summary", "text"] = "summary"


@dataclass(frozen=True, slots=True)
class Ask:
    """A call of the client's; `streamed`: its arguments come in pieces before it is done."""

    name: str
    arguments: str
    custom: bool = False
    streamed: bool = True


@dataclass(frozen=True, slots=True)
class Work:
    """A tool of the server's."""

    type: str
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """An approval that is asked for."""


@dataclass(frozen=True, slots=True)
class Ghost:
    """An item that nobody knows."""


Part: TypeAlias = Say | Think | Ask | Work | Wish | Ghost


@dataclass(frozen=True, slots=True)
class Reply:
    """One response. `groups`: the parts of a group are streamed at the same time, as `order` mixes them. `at`: where a
    cut stream is cut, as a share of its events. `kept`: the server remembers what it said before it broke; `resumes`:
    it can tell the rest of a cut stream."""

    groups: tuple[tuple[Part, ...], ...]
    ending: Ending = "completed"
    order: tuple[int, ...] = ()
    created: bool = True
    in_progress: bool = True
    at: float = 1.0
    strange: bool = False
    kept: bool = False
    resumes: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for group in self.groups for part in group)

    @property
    def asks(self) -> bool:
        """Whether the client has calls to answer."""
        return any(isinstance(part, Ask) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Script:
    """The replies of a turn. After the last, a server says only goodbye."""

    replies: tuple[Reply, ...]


GOODBYE: Final = Reply(groups=((Say(parts=(("text", ("Good", "bye.")),)),),))


# writing


@dataclass(slots=True)
class Names:
    """Counted ids."""

    counter: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, prefix: str) -> str:
        return f"{prefix}_{next(iter(self.counter)):04d}"


@dataclass(frozen=True, slots=True)
class Written:
    """A reply as events; `output` are its items once done, `sent` how many events a client gets before the cut."""

    id: str
    plan: Reply
    events: tuple[Json, ...]
    output: tuple[Json, ...]
    sent: int

    @property
    def told(self) -> tuple[Json, ...]:
        return self.events[: self.sent]

    @property
    def finished(self) -> list[Json]:
        """The items that were done before the end."""
        return [event["item"] for event in self.told if event["type"] == "response.output_item.done"]


def written(plan: Reply, names: Names) -> Written:
    """The reply with ids of its own."""
    response = _response(names("resp"))
    events: list[Json] = []
    if plan.created:
        events.append({"type": "response.created", "response": response})
    if plan.in_progress:
        events.append({"type": "response.in_progress", "response": response})
    output: list[Json] = []
    order = itertools.cycle(plan.order or (0,))
    for group in plan.groups:
        tracks = [_track(part, names) for part in group]
        first = len(output)
        waiting = [*range(len(tracks))]
        output.extend({} for _ in tracks)
        places: dict[int, int] = {}
        while waiting:
            track = waiting[next(order) % len(waiting)]
            event = tracks[track].pop(0)
            place = places.setdefault(track, first + len(places))
            events.append({**event, "output_index": place})
            if event["type"] == "response.output_item.done":
                output[place] = event["item"]
            if not tracks[track]:
                waiting.remove(track)
    if plan.strange:
        events.insert(len(events) // 2, STRANGE)
        events.append(STRANGE)
    before = len(events)
    events.extend(_ending(plan.ending, response, output))
    numbered = tuple({**event, "sequence_number": number} for number, event in enumerate(events))
    sent = round(before * plan.at) if plan.ending in CUT else len(numbered)
    return Written(response["id"], plan, numbered, tuple(output), sent)


def _response(response_id: str) -> Json:
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }


def _ending(ending: Ending, response: Json, output: Sequence[Json]) -> list[Json]:
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 12,
    }
    final = {**response, "output": [*output], "usage": usage}
    if ending in {"incomplete", "filtered"}:
        reason = "max_output_tokens" if ending == "incomplete" else "content_filter"
        final = {**final, "status": "incomplete", "incomplete_details": {"reason": reason}}
        return [{"type": "response.incomplete", "response": final}]
    error = {"code": "server_error", "message": "The model fell over."}
    if ending in {"failed", "error"}:
        told: list[Json] = [{"type": "response.failed", "response": {**final, "status": "failed", "error": error}}]
        return told if ending == "failed" else [{"type": "error", **error, "param": None}]
    return [{"type": "response.completed", "response": {**final, "status": "completed"}}]


def _track(part: Part, names: Names) -> list[Json]:
    """The events of an item, in order, without its place."""
    match part:
        case Say():
            return _said(part, names("msg"))
        case Think():
            return _thought(part, names("rs"))
        case Ask():
            return _asked(part, names("ctc" if part.custom else "fc"), names("call"))
        case Work():
            return _worked(part, names("item"))
        case Wish():
            wish = {"type": "mcp_approval_request", "server_label": "lab", "name": "erase", "arguments": '{"n": 1}'}
            return _item({**wish, "id": names("mcpr")}, {}, [])
        case Ghost():
            return _item({"type": "hologram", "id": names("holo")}, {"light": 1}, [])


def _item(opened: Json, final: Json, between: Sequence[Json]) -> list[Json]:
    return [
        {"type": "response.output_item.added", "item": opened},
        *between,
        {"type": "response.output_item.done", "item": {**opened, **final}},
    ]


def _said(plan: Say, item_id: str) -> list[Json]:
    between: list[Json] = []
    content: list[Json] = []
    for place, (kind, pieces) in enumerate(plan.parts):
        at = {"item_id": item_id, "content_index": place}
        name = "output_text" if kind == "text" else "refusal"
        key = "text" if kind == "text" else "refusal"
        cites = [{"type": "url_citation", "start_index": 0, "end_index": 1, "url": "https://a.example", "title": "A"}]
        extra: Json = {"annotations": [], "logprobs": []} if kind == "text" else {}
        said = "".join(pieces)
        between.append({"type": "response.content_part.added", **at, "part": {"type": name, key: "", **extra}})
        between.extend({"type": f"response.{name}.delta", **at, "delta": piece} for piece in pieces)
        if plan.cites and kind == "text":
            told = {"annotation_index": 0, "annotation": cites[0]}
            between.append({"type": "response.output_text.annotation.added", **at, **told})
            extra["annotations"] = cites
        part = {"type": name, key: said, **extra}
        between.append({"type": f"response.{name}.done", **at, key: said})
        between.append({"type": "response.content_part.done", **at, "part": part})
        content.append(part)
    opened: Json = {"type": "message", "id": item_id, "role": "assistant", "status": "in_progress", "content": []}
    return _item(opened, {"status": "completed", "content": content}, between)


def _thought(plan: Think, item_id: str) -> list[Json]:
    said = "".join(plan.pieces)
    if plan.kind == "summary":
        at, name, part = {"item_id": item_id, "summary_index": 0}, "reasoning_summary_text", "reasoning_summary_part"
        key, kind = "summary", "summary_text"
    else:
        at, name, part = {"item_id": item_id, "content_index": 0}, "reasoning_text", "content_part"
        key, kind = "content", "reasoning_text"
    between: list[Json] = [{"type": f"response.{part}.added", **at, "part": {"type": kind, "text": ""}}]
    between.extend({"type": f"response.{name}.delta", **at, "delta": piece} for piece in plan.pieces)
    between.append({"type": f"response.{name}.done", **at, "text": said})
    between.append({"type": f"response.{part}.done", **at, "part": {"type": kind, "text": said}})
    opened: Json = {"type": "reasoning", "id": item_id, "summary": []}
    return _item(opened, {key: [{"type": kind, "text": said}]}, between)


def _asked(plan: Ask, item_id: str, call_id: str) -> list[Json]:
    key, name = ("input", "custom_tool_call_input") if plan.custom else ("arguments", "function_call_arguments")
    between: list[Json] = []
    if plan.streamed:
        half = len(plan.arguments) // 2
        pieces = [piece for piece in (plan.arguments[:half], plan.arguments[half:]) if piece]
        between = [{"type": f"response.{name}.delta", "item_id": item_id, "delta": piece} for piece in pieces]
        between.append({"type": f"response.{name}.done", "item_id": item_id, key: plan.arguments})
    opened = {"type": "custom_tool_call" if plan.custom else "function_call", "id": item_id, "call_id": call_id}
    opened |= {"name": plan.name, key: "", "status": "in_progress"}
    return _item(opened, {key: plan.arguments, "status": "completed"}, between)


def _worked(plan: Work, item_id: str) -> list[Json]:
    opened: Json = {"type": plan.type, "id": item_id, "status": "in_progress"}
    final: Json = {"status": "failed" if plan.fails else "completed"}
    between: list[Json] = [{"type": f"response.{plan.type}.in_progress", "item_id": item_id}]
    match plan.type:
        case "file_search_call":
            opened |= {"queries": [], "results": None}
            hit: Json = {"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "Found.", "attributes": {}}
            final |= {"queries": ["what"], "results": [] if plan.fails else [hit]}
        case "web_search_call":
            final |= {"action": {"type": "search", "query": "what"}}
        case "mcp_call":
            opened |= {"name": "add", "server_label": "lab", "arguments": ""}
            between.append({"type": "response.mcp_call_arguments.delta", "item_id": item_id, "delta": '{"a": 1}'})
            between.append({"type": "response.mcp_call_arguments.done", "item_id": item_id, "arguments": '{"a": 1}'})
            final |= {"arguments": '{"a": 1}', "output": None if plan.fails else "2"}
            final |= {"error": {"type": "tool", "message": "No."} if plan.fails else None}
        case "mcp_list_tools":
            del opened["status"], final["status"]
            opened |= {"server_label": "lab", "tools": []}
            final |= {"error": "No."} if plan.fails else {"tools": [{"name": "add", "input_schema": {}}]}
        case "code_interpreter_call":
            opened |= {"code": "", "container_id": "cntr_1", "outputs": None}
            between.append(
                {"type": "response.code_interpreter_call_code.delta", "item_id": item_id, "delta": "print(1)"}
            )
            final |= {"code": "print(1)", "outputs": [{"type": "logs", "logs": "1"}]}
        case _:
            opened |= {"result": None}
            final |= {"result": None if plan.fails else "aW1hZ2U="}
    return _item(opened, final, between)


# drawing


_WORDS = st.lists(st.sampled_from(["Hel", "lo", " wor", "ld", "ü"]), min_size=1, max_size=3).map(tuple)
_PIECES = st.tuples(st.sampled_from(["text", "text", "text", "refusal"]), _WORDS)
SAYS = st.builds(Say, st.lists(_PIECES, min_size=1, max_size=2).map(tuple), st.booleans())
THINKS = st.builds(Think, _WORDS, st.sampled_from(["summary", "text"]))
_WORKS = st.builds(Work, st.sampled_from(SERVER), st.booleans())
ARGUMENTS: Final = ('{"n": 1}', '{"n": 22}', '{"n": "many"}', '{"n": ', "[]", "{}", "")
"""Of calls: good ones, and all the ways in which a model gets them wrong."""
TOOLS: Final = ("double", "web_search", "breaks", "nobody")
"""What is called: a tool; one whose name is that of a tool of servers; one that raises; one that is not there."""
_ASKS = st.one_of(
    st.builds(Ask, st.sampled_from(TOOLS), st.sampled_from(ARGUMENTS), st.just(value=False), st.booleans()),
    st.builds(Ask, st.just("note"), st.sampled_from(["free text", ""]), st.just(value=True), st.booleans()),
)
_RARE = st.sampled_from([Wish(), Ghost()])
_PARTS: st.SearchStrategy[Part] = st.one_of(SAYS, THINKS, _WORKS, _ASKS, _ASKS, _RARE)
_GROUPS = st.one_of(
    st.tuples(_PARTS), st.tuples(_PARTS), st.lists(st.one_of(_WORKS, _ASKS), min_size=2, max_size=3).map(tuple)
)
_ENDINGS: Final[tuple[Ending, ...]] = ("completed", "completed", "completed", *_WHOLE, "failed", "error", *_CUT)
_REPLIES = st.builds(
    Reply,
    groups=st.lists(_GROUPS, max_size=4).map(tuple),
    ending=st.sampled_from(_ENDINGS),
    order=st.lists(st.integers(0, 5), max_size=6).map(tuple),
    created=st.sampled_from([True, True, False]),
    in_progress=st.sampled_from([True, True, False]),
    at=st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    strange=st.booleans(),
    kept=st.booleans(),
    resumes=st.booleans(),
)
SCRIPTS: Final = st.builds(Script, st.lists(_REPLIES, min_size=1, max_size=3).map(tuple))
"""Turns of up to three replies, each of up to a dozen items."""
