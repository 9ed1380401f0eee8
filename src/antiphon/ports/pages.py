"""Pages of the web that a model opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from antiphon.core.pages import Page


class PageError(Exception):
    """There is no page to read. The words are for the model: they name the host and nothing else of the URL."""


class Pages(Protocol):
    """Contract: a page comes through the egress door and is read within limits of size and time; whatever goes wrong
    is PageError. A page that was read is kept for minutes, for its project alone. Cancelling stops the work."""

    @property
    def listed_only(self) -> bool:
        """Whether only pages are opened that the conversation names."""
        ...

    async def read(self, project: str, url: str, permitted: Callable[[str], bool], /) -> Page:
        """The page as text, under the URL that was asked. `permitted` is asked about that URL, and about the one where
        redirects ended."""
        ...
