"""What an endpoint that speaks Responses says, event by event, in the order that api.openai.com was recorded in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.upstream import Part, Reply

Json = dict[str, Any]
USAGE: Json = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 14,
}


class Told:
    """The events of one response, told item by item; `end` closes it."""

    def __init__(self) -> None:
        self.events: list[Json] = []
        self.output: list[Json] = []
        for kind in ("response.created", "response.in_progress"):
            self.event(kind, response=self._response("in_progress", None))

    def event(self, kind: str, **fields: Any) -> Told:
        self.events.append({"type": kind, "sequence_number": len(self.events), **fields})
        return self

    def message(self, *pieces: str, phase: str | None = None, annotations: Sequence[Json] = (), **fields: Any) -> Told:
        """One message with one part of text."""
        item: Json = {"id": f"msg_{len(self.output)}", "type": "message", "status": "in_progress", "content": []}
        item["role"] = "assistant"
        if phase:
            item["phase"] = phase
        index = len(self.output)
        at: Json = {"content_index": 0, "item_id": item["id"], "output_index": index}
        empty: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        self.event("response.output_item.added", output_index=index, item=item)
        self.event("response.content_part.added", **at, part=empty)
        for piece in pieces:
            told: Json = {"delta": piece, "logprobs": [], "obfuscation": "aX3"}
            self.event("response.output_text.delta", **{**at, **told, **fields})
        for place, annotation in enumerate(annotations):
            self.event("response.output_text.annotation.added", **at, annotation=annotation, annotation_index=place)
        part = {**empty, "text": "".join(pieces), "annotations": list(annotations)}
        self.event("response.output_text.done", **at, text=part["text"], logprobs=[])
        self.event("response.content_part.done", **at, part=part)
        return self._done({**item, "status": "completed", "content": [part]})

    def refusal(self, *pieces: str) -> Told:
        """One message with one refusal."""
        item: Json = {"id": f"msg_{len(self.output)}", "type": "message", "status": "in_progress", "content": []}
        item["role"] = "assistant"
        index = len(self.output)
        at: Json = {"content_index": 0, "item_id": item["id"], "output_index": index}
        self.event("response.output_item.added", output_index=index, item=item)
        self.event("response.content_part.added", **at, part={"type": "refusal", "refusal": ""})
        for piece in pieces:
            self.event("response.refusal.delta", **at, delta=piece)
        part = {"type": "refusal", "refusal": "".join(pieces)}
        self.event("response.refusal.done", **at, refusal=part["refusal"])
        self.event("response.content_part.done", **at, part=part)
        return self._done({**item, "status": "completed", "content": [part]})

    def reasoning(self, *, summary: Sequence[str] = (), text: Sequence[str] = (), sealed: str | None = None) -> Told:
        """One reasoning item: each string of `summary` is a part, those of `text` are the pieces of one part."""
        index = len(self.output)
        item: Json = {"id": f"rs_{index}", "type": "reasoning", "content": [], "summary": []}
        if sealed:
            item["encrypted_content"] = "not-whole-yet"
        self.event("response.output_item.added", output_index=index, item=item)
        where: Json = {"item_id": item["id"], "output_index": index}
        for place, words in enumerate(summary):
            at: Json = {**where, "summary_index": place}
            self.event("response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
            for piece in (words[:4], words[4:]):
                self.event("response.reasoning_summary_text.delta", **at, delta=piece)
            self.event("response.reasoning_summary_text.done", **at, text=words)
            self.event("response.reasoning_summary_part.done", **at, part={"type": "summary_text", "text": words})
        if text:
            at = {**where, "content_index": 0}
            self.event("response.content_part.added", **at, part={"type": "reasoning_text", "text": ""})
            for piece in text:
                self.event("response.reasoning_text.delta", **at, delta=piece)
            part = {"type": "reasoning_text", "text": "".join(text)}
            self.event("response.reasoning_text.done", **at, text=part["text"])
            self.event("response.content_part.done", **at, part=part)
            item = {**item, "content": [part]}
        if sealed:
            item = {**item, "encrypted_content": sealed}
        return self._done({**item, "summary": [{"type": "summary_text", "text": words} for words in summary]})

    def call(self, name: str, *pieces: str, call_id: str = "call_1") -> Told:
        """One function call."""
        index = len(self.output)
        item: Json = {"id": f"fc_{index}", "type": "function_call", "status": "in_progress", "arguments": ""}
        item |= {"call_id": call_id, "name": name}
        self.event("response.output_item.added", output_index=index, item=item)
        for piece in pieces:
            self.event("response.function_call_arguments.delta", item_id=item["id"], output_index=index, delta=piece)
        whole = "".join(pieces)
        self.event("response.function_call_arguments.done", item_id=item["id"], output_index=index, arguments=whole)
        return self._done({**item, "status": "completed", "arguments": whole})

    def custom(self, name: str, *pieces: str, call_id: str = "call_1") -> Told:
        """One call of a custom tool."""
        index = len(self.output)
        item: Json = {"id": f"ctc_{index}", "type": "custom_tool_call", "status": "in_progress", "input": ""}
        item |= {"call_id": call_id, "name": name}
        self.event("response.output_item.added", output_index=index, item=item)
        for piece in pieces:
            self.event("response.custom_tool_call_input.delta", item_id=item["id"], output_index=index, delta=piece)
        whole = "".join(pieces)
        self.event("response.custom_tool_call_input.done", item_id=item["id"], output_index=index, input=whole)
        return self._done({**item, "status": "completed", "input": whole})

    def end(self, status: str = "completed", **fields: Any) -> Told:
        """The terminal event."""
        return self.event(f"response.{status}", response={**self._response(status, USAGE), **fields})

    def _done(self, item: Json) -> Told:
        self.event("response.output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)
        return self

    def _response(self, status: str, usage: Json | None) -> Json:
        return {
            "id": "resp_upstream",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": "upstream-model",
            "output": [*self.output],
            "usage": usage,
        }

    @property
    def documents(self) -> list[bytes]:
        """The data of each event."""
        return [json.dumps(event, ensure_ascii=False).encode() for event in self.events]

    @property
    def parts(self) -> list[Part]:
        """Each event as it goes over the socket."""
        return [
            b"event: %s\ndata: %s\n\n" % (e["type"].encode(), d)
            for e, d in zip(self.events, self.documents, strict=True)
        ]

    @property
    def reply(self) -> Reply:
        """The stream, each event in a write of its own; there is no `[DONE]`."""
        return Reply(self.parts)


def spoken(*pieces: str) -> Reply:
    """A stream that says these pieces, and ends well."""
    return Told().message(*pieces).end().reply
