"""A client that plays scripts: what each request is answered with, and what was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Step: TypeAlias = Json | Exception | Callable[[], Any]
"""An event; what is raised in its place; or something that happens before the next one."""

DONE: Json = {"status": "completed"}


def whole(given: Json) -> Json:
    """Options of an agent, with those that every test has."""
    return {"model": "m", **given}


class StatusError(Exception):
    """An HTTP error in the form of the clients' libraries."""

    def __init__(self, status: int, headers: Json | None = None, code: str | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers or {}})()
        self.body = {"message": f"refused with {status}", "code": code}


class APIConnectionError(Exception):
    """A connection that failed, under the name that it has everywhere."""


class Stream:
    """What `responses.create` gives."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.closed = False

    def __iter__(self) -> Iterator[Json]:
        while self.steps and not self.closed:
            step = self.steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, dict):
                yield step
            else:
                step()

    def close(self) -> None:
        self.closed = True


class AsyncStream(Stream):
    async def __aiter__(self) -> AsyncIterator[Json]:
        while self.steps and not self.closed:
            step = self.steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, dict):
                yield step
            else:
                await step()

    async def close(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in the libraries
        self.closed = True


class Stub:
    """A synchronous client. `replies`: scripts, or errors, one for each request; `held`: the items of the
    conversation, oldest first."""

    kind: type[Stream] = Stream

    def __init__(self, *replies: Sequence[Step] | Exception) -> None:
        self.replies = list(replies)
        self.requests: list[Json] = []
        self.fetched: list[tuple[str, int]] = []
        self.created: list[Json] = []
        self.reads = 0
        self.held: list[Json] = []
        self.streams: list[Stream] = []
        self.responses = self
        self.conversations = _Conversations(self)

    def create(self, **request: Any) -> Any:
        self.requests.append(request)
        return self._next()

    def retrieve(self, response_id: str, *, stream: bool, starting_after: int) -> Any:
        assert stream
        self.fetched.append((response_id, starting_after))
        return self._next()

    def play(self, *replies: Sequence[Step] | Exception) -> None:
        """What comes next, instead of what is left."""
        self.replies = list(replies)

    def _next(self) -> Stream:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        self.streams.append(self.kind(reply))
        return self.streams[-1]

    @property
    def inputs(self) -> list[list[Json]]:
        """The input of each request."""
        return [request["input"] for request in self.requests]


class _Conversations:
    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self.items = self

    def create(self, **given: Any) -> Any:
        self._stub.created.append(given)
        return {"id": f"conv_{len(self._stub.created)}"}

    def list(self, conversation: str, **_: Any) -> Any:
        assert conversation.startswith("conv_")
        self._stub.reads += 1
        return {"data": self._stub.held[::-1]}


class AsyncStub(Stub):
    """The same for AsyncAgent."""

    kind = AsyncStream

    def __init__(self, *replies: Sequence[Step] | Exception) -> None:
        super().__init__(*replies)
        self.conversations = _AsyncConversations(self)

    async def create(self, **request: Any) -> Any:
        return super().create(**request)

    async def retrieve(self, response_id: str, *, stream: bool, starting_after: int) -> Any:
        return super().retrieve(response_id, stream=stream, starting_after=starting_after)


class _AsyncConversations:
    def __init__(self, stub: Stub) -> None:
        self._plain = _Conversations(stub)
        self.items = self

    async def create(self, **given: Any) -> Any:
        return self._plain.create(**given)

    async def list(self, conversation: str, **given: Any) -> Any:
        return self._plain.list(conversation, **given)


# scripts


def message(text: str, item_id: str = "msg_1") -> Json:
    part: Json = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": [part]}


def call(call_id: str = "call_1", name: str = "add", arguments: str = '{"a": 1, "b": 2}', **more: Any) -> Json:
    item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name}
    return {**item, "arguments": arguments, **DONE, **more}


def search(item_id: str = "fs_1", **more: Any) -> Json:
    return {"type": "file_search_call", "id": item_id, "queries": ["q"], "results": [{"text": "t"}], **DONE, **more}


def wish(item_id: str = "mcpr_1") -> Json:
    return {"type": "mcp_approval_request", "id": item_id, "server_label": "lab", "name": "erase", "arguments": "{}"}


def added(item: Json, index: int) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}


def done(item: Json, index: int) -> Json:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def opening(response_id: str = "resp_1") -> list[Json]:
    response: Json = {"id": response_id, "status": "in_progress", "output": []}
    return [{"type": "response.created", "response": response}, {"type": "response.in_progress", "response": response}]


def ending(*output: Json, response_id: str = "resp_1", how: str = "completed", **more: Any) -> Json:
    usage = {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}}
    response: Json = {"id": response_id, "status": how, "output": [*output], "usage": usage, **more}
    return {"type": f"response.{how}", "response": response}


def reply(*output: Json, response_id: str = "resp_1", how: str = "completed", **more: Any) -> list[Json]:
    """A whole response of these items."""
    items = [event for index, item in enumerate(output) for event in (added(item, index), done(item, index))]
    whole = [*opening(response_id), *items, ending(*output, response_id=response_id, how=how, **more)]
    return [{**event, "sequence_number": number} for number, event in enumerate(whole)]


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def answered(call_id: str, output: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def user(text: str) -> Json:
    return {"role": "user", "content": text}
