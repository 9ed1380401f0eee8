"""Files that a chat is about: searched where the server has vector stores, otherwise shown with the next message."""

from __future__ import annotations

import asyncio
import base64
import mimetypes
from pathlib import Path
from typing import Any, Final

from openai import APIStatusError, AsyncOpenAI

from antiphon.cli.folders import MOST, below

ABSENT: Final = frozenset({404, 405, 501})
"""How servers say that they do not have an endpoint."""
POLL_MS: Final = 200
LANES: Final = 8
"""Files of a folder that are on their way at the same time."""
LIFETIME: Final = 7
"""Days that an unused store is kept."""

Part = dict[str, Any]


class AttachingError(Exception):
    """A file cannot be attached; the words say why."""


class Shelf:
    """The files of a chat. `parts` wait for the next message."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        self._making = asyncio.Lock()
        self.store_id: str | None = None
        self.names: list[str] = []
        self.parts: list[Part] = []

    async def attach(self, given: Path) -> list[str]:
        """Attach a file, or all files of a folder; what was done, a line for each. Raises AttachingError, APIError."""
        paths = _files(given)
        if not paths:
            raise AttachingError(f"there are no files at {given}")
        if len(paths) > MOST:
            raise AttachingError(f"there are {len(paths)} files at {given}, more than {MOST}")
        if len(paths) == 1:
            return [await self._attached(paths[0])]
        lanes = asyncio.Semaphore(LANES)

        async def told(path: Path) -> str:
            async with lanes:
                try:
                    return await self._attached(path)
                except AttachingError as error:
                    return str(error)

        return await asyncio.gather(*map(told, paths))

    @property
    def tool(self) -> Part | None:
        """The tool that searches the files."""
        return None if not self.names else {"type": "file_search", "vector_store_ids": [self.store_id]}

    async def _attached(self, path: Path) -> str:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind.startswith("image/"):
            self.parts.append({"type": "input_image", "detail": "auto", "image_url": _inline(path, kind)})
            return f"{path.name}: goes with the next message"
        try:
            return await self._searched(path)
        except APIStatusError as error:
            if error.status_code not in ABSENT:
                raise
        self.parts.append({"type": "input_file", "filename": path.name, "file_data": _inline(path, kind)})
        return f"{path.name}: goes with the next message, for this server has no vector stores"

    async def _searched(self, path: Path) -> str:
        """Put the file into the store."""
        async with self._making:
            store_id = self.store_id or await self._store()
            self.store_id = store_id
        file = await self._client.files.create(file=(path.name, _read(path)), purpose="assistants")
        stored = await self._client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store_id, poll_interval_ms=POLL_MS
        )
        if stored.status != "completed":
            why = stored.last_error.message if stored.last_error else stored.status
            raise AttachingError(f"{path.name} cannot be read: {why}")
        self.names.append(path.name)
        return f"{path.name}: is searched when it is asked about"

    async def _store(self) -> str:
        lifetime: Any = {"anchor": "last_active_at", "days": LIFETIME}
        return (await self._client.vector_stores.create(name="antiphon chat", expires_after=lifetime)).id


def _files(given: Path) -> list[Path]:
    return sorted(below(given.expanduser()))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AttachingError(f"{path} cannot be read: {error.strerror}") from None


def _inline(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(_read(path)).decode()}"
