"""Chat completions that are stored (`store: true`), and what clients do with them later.

A stored completion has an id of ours, which nobody else gives out: upstreams repeat theirs. It is stored before its
answer ends, so that whoever was told the whole can retrieve it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
from msgspec import Raw

from antiphon.core.completion import Head
from antiphon.core.transcript import Transcript, kept
from antiphon.ports.clock import Clock
from antiphon.ports.completions import Completions as Store
from antiphon.ports.completions import StoredCompletion
from antiphon.ports.model import Model
from antiphon.ports.store import PageQuery
from antiphon.wire.chat import ChatCompletionDeleted, ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.errors import ModelError, NotFoundError
from antiphon.wire.invalid import invalid_value
from antiphon.wire.pages import Page

PREFIX: Final = "chatcmpl-"

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_DOCUMENT: Final = msgspec.json.Decoder(dict[str, Any])
_MESSAGES: Final = msgspec.json.Decoder(list[dict[str, Any]])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


class Completions:
    """The stored completions of a project. `retention`: seconds that they are kept, None: for ever."""

    def __init__(self, store: Store, clock: Clock, *, retention: float | None = None) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention

    async def relayed(
        self, project: str, request: ChatRequest, model: Model, name: str, /
    ) -> AsyncGenerator[Sequence[bytes]]:
        """What the model answers, as of `relay` of its port, stored under this name of the model before the end. A
        stream is stored when it came whole; with its usage, whether or not the client asked to see that."""
        head = Head(self._clock.id(PREFIX), int(self._clock.now()), name)
        if not request.stream:
            async with aclosing(model.relay(request)) as batches:
                async for documents in batches:
                    completion = kept(_read(documents[0]), head)
                    await self._save(project, request, completion, name)
                    yield [encode({**completion, "metadata": request.metadata})]
            return
        shown = _usage_wanted(request.body)
        transcript, reported = Transcript(head), False
        async with aclosing(model.relay(_with_usage(request))) as batches:
            async for documents in batches:
                chunks = [_read(document) for document in documents]
                for chunk in chunks:
                    transcript.add(chunk)
                    reported = reported or chunk.get("error") is not None
                if renamed := [encode(one) for chunk in chunks if (one := _shown(chunk, head, usage=shown))]:
                    yield renamed
        if not reported:
            await self._save(project, request, transcript.completion(), name)

    async def retrieve(self, project: str, completion_id: str, /) -> bytes:
        """The completion with its metadata, as JSON; NotFoundError."""
        return _whole(_present(await self._store.completion(project, completion_id), completion_id))

    async def list(self, project: str, page: PageQuery, model: str | None, metadata: Mapping[str, str], /) -> Page:
        """A page of those of this model (None: any) that have all these metadata."""
        found, more = await self._store.completions(project, page, model, metadata)
        return Page(
            data=tuple(Raw(_whole(one)) for one in found),
            first_id=found[0].id if found else None,
            last_id=found[-1].id if found else None,
            has_more=more,
        )

    async def update(self, project: str, completion_id: str, metadata: dict[str, str], /) -> bytes:
        """Replace the metadata; as `retrieve`."""
        return _whole(_present(await self._store.update_completion(project, completion_id, metadata), completion_id))

    async def delete(self, project: str, completion_id: str, /) -> ChatCompletionDeleted:
        """Delete it; NotFoundError."""
        if not await self._store.delete_completion(project, completion_id):
            raise missing(completion_id)
        return ChatCompletionDeleted(id=completion_id)

    async def messages(self, project: str, completion_id: str, page: PageQuery, /) -> Page:
        """A page of the messages that the request brought; their ids are the completion's and their place."""
        found = _present(await self._store.completion(project, completion_id), completion_id)
        messages = _MESSAGES.decode(found.messages)
        shown = [_message(f"{completion_id}-{place}", message) for place, message in enumerate(messages)]
        if page.order == "desc":
            shown.reverse()
        ids = [message["id"] for message in shown]
        start = _behind(ids, page.after)
        listed = shown[start : start + page.limit]
        return Page(
            data=tuple(listed),
            first_id=listed[0]["id"] if listed else None,
            last_id=listed[-1]["id"] if listed else None,
            has_more=start + len(listed) < len(shown),
        )

    async def _save(self, project: str, request: ChatRequest, completion: dict[str, Any], model: str) -> None:
        stored = StoredCompletion(
            id=completion["id"],
            created=int(completion["created"]),
            model=model,
            metadata=request.metadata,
            body=encode(completion),
            messages=encode(request.body["messages"]),
            expires_at=None if self._retention is None else self._clock.now() + self._retention,
        )
        await self._store.save_completion(project, stored)


def missing(completion_id: str) -> NotFoundError:
    """No such completion is stored in this project."""
    return NotFoundError(f"Chat completion with id '{completion_id}' not found.", param="completion_id")


def _present(found: StoredCompletion | None, completion_id: str) -> StoredCompletion:
    if found is None:
        raise missing(completion_id)
    return found


def _whole(stored: StoredCompletion) -> bytes:
    return encode({**_FIELDS.decode(stored.body), "metadata": stored.metadata})


def _behind(ids: Sequence[str], after: str | None) -> int:
    """Where the page begins."""
    if after is None:
        return 0
    if after not in ids:
        raise invalid_value("after", after)
    return ids.index(after) + 1


def _message(message_id: str, message: dict[str, Any]) -> dict[str, Any]:
    content: Any = message.get("content")
    plain = content is None or isinstance(content, str)
    shown = {"content": content, "content_parts": None} if plain else {"content": None, "content_parts": content}
    return {"refusal": None, **message, "id": message_id, **shown}


# streams


def _read(document: bytes) -> dict[str, Any]:
    try:
        return _DOCUMENT.decode(document)
    except _UNREADABLE:
        raise ModelError("The model's endpoint sent what is no chat completion.") from None


def _shown(chunk: dict[str, Any], head: Head, *, usage: bool) -> dict[str, Any] | None:
    """The chunk as the client gets it; None when it only tells a usage that was not asked for."""
    if "error" in chunk:
        return chunk
    shown = {**chunk, "id": head.id}
    if not usage and shown.pop("usage", None) is not None and not shown.get("choices"):
        return None
    return shown


def _usage_wanted(body: Mapping[str, Any]) -> bool:
    options: dict[str, Any] = body.get("stream_options") or {}
    return options.get("include_usage") is True


def _with_usage(request: ChatRequest) -> ChatRequest:
    options: dict[str, Any] = {**(request.body.get("stream_options") or {}), "include_usage": True}
    return msgspec.structs.replace(request, body={**request.body, "stream_options": options})
