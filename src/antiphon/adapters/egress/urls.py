"""URLs that requests give, read once.

Law: the parser that reads a URL is the one that connects, and what other programs would read differently is refused.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from yarl import URL

from antiphon.ports.door import DoorError

ODD: Final = re.compile(r"[\x00-\x20\x7f\\]")
_NAME: Final = re.compile(r"[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_])?\.?")
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?")
"""What some programs take for an address: https://url.spec.whatwg.org/#ends-in-a-number-checker."""


def read(text: str) -> URL:
    """The URL without its fragment. DoorError."""
    if ODD.search(text):
        raise DoorError("The URL has spaces, control characters or backslashes in it.", refused=True)
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise DoorError("The URL cannot be read.", refused=True) from None
    if url.scheme not in {"http", "https"} or not host or not port:
        raise DoorError("Only URLs that begin with http:// or https:// and name a host are opened.", refused=True)
    if url.raw_user is not None or url.raw_password is not None or "@" in url.raw_authority:
        raise DoorError("URLs with a user or password in them are not opened.", refused=True)
    if not _plain(host):
        raise DoorError("The URL does not name its host as a plain name or address.", refused=True)
    return url.with_fragment(None)


def _plain(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return _NAME.fullmatch(host) is not None and _NUMBER.fullmatch(host) is None
    return True


def host_of(url: URL) -> str:
    """What it is called in messages."""
    return url.host or "The host"
