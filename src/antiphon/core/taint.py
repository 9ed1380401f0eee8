"""Untrusted content: what a run has read that neither the user nor the operator wrote, and what it may do since.

Law: one place decides, by what offers say of themselves (`untrusted`, `writes`, `reaches`) and by what the conversation
holds; no tool is known here. What cannot be told is taken to be untrusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec

from antiphon.core.context import texts_given, type_of
from antiphon.core.effects import Call, Draft, Entry, Offer, Place
from antiphon.core.pages import known
from antiphon.core.recall import answered, is_hosted
from antiphon.core.sealed import is_exchange
from antiphon.wire.content import InputFile, InputText
from antiphon.wire.items import Compaction, Item, Message

UNASKED: Final = (
    "This tool may change something, and content has been read that neither the user nor the operator wrote: it is not "
    "run without an approval, for which it has no form. Tell the user what you wanted to do."
)
STRAYED: Final = (
    "Not done: content has been read that neither the user nor the operator wrote. Since then only URLs are opened "
    "that were given whole, and those on a host that the user named."
)


class Guard(msgspec.Struct, frozen=True):
    """The policy for a run that is not to act on the word of strangers. `read`: what it continues has read such
    content already; `words`: what the user and the operator wrote."""

    read: bool = False
    words: tuple[str, ...] = ()


def guard(instructions: str | None, entries: Sequence[Entry], offers: Sequence[Offer]) -> Guard:
    """For a run that continues these entries, whose files have not been replaced by their texts."""
    words = [instructions] if instructions else []
    for entry in entries:
        if isinstance(entry.item, Message) and entry.item.role != "assistant":
            words += [part.text for part in entry.item.content if isinstance(part, InputText)]
    return Guard(tainted(entries, offers), tuple(words))


def tainted(entries: Iterable[Entry], offers: Sequence[Offer]) -> bool:
    """Whether any of these brought untrusted content: a call that a server ran, a file, a summary of what is not there
    any more. Calls of offers that say that their results are to be trusted do not."""
    trusted = {offer.name for offer in offers if offer.receipt is not None and not offer.untrusted}
    return any(_brings(entry, trusted) for entry in entries if entry.item is not None)


def guarded(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """The offers of a run that has read such content: a call that may change something becomes a request for approval,
    or is refused in words where it has no such form."""
    return tuple(_guarded(offer) for offer in offers)


def strayed(call: Call, given: Sequence[Entry], words: Sequence[str]) -> bool:
    """Whether the call goes where nobody has sent the model: to a URL that does not stand whole in what it was `given`,
    on a host that the user and the operator (`words`) do not name."""
    url = call.offer.reaches(call.arguments) if call.offer.reaches is not None else None
    if url is None:
        return False
    host = _host(url)
    return not (host and any(_names(host, text) for text in words)) and not known(url, texts_given(given))


def _brings(entry: Entry, trusted: set[str]) -> bool:
    item = cast("Item", entry.item)
    if isinstance(item, Compaction):
        return True
    if type_of(item).endswith("_call") and is_hosted(item):
        return not (is_exchange(entry.exchange) and entry.exchange.name in trusted)
    told = item.content if isinstance(item, Message) else (answered(item) or ("", ""))[1]
    return any(isinstance(part, InputFile) for part in told)


def _guarded(offer: Offer) -> Offer:
    if offer.receipt is None or not offer.writes:
        return offer
    return msgspec.structs.replace(offer, receipt=None, dictation=None, form=offer.approval or REFUSED)


class _Refused(msgspec.Struct, frozen=True):
    """The form of a call that is not made, whatever its arguments."""

    prefix = ""
    streams = False

    def fault(self, arguments: str) -> str | None:
        """Always the same."""
        del arguments
        return UNASKED

    def draft(self, at: Place, /) -> Draft:
        """Never asked for."""
        raise AssertionError(at)


REFUSED: Final = _Refused()


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _names(host: str, text: str) -> bool:
    """Whether the host stands in the text as a whole, not as a part of another or of an address of mail."""
    return re.search(rf"(?<![\w.@-]){re.escape(host)}(?![\w-]|\.\w)", text, re.IGNORECASE) is not None
