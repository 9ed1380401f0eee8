"""Who asks: a bearer key gives the project. Keys are known by their digests only, compared in constant time."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from starlette.types import Scope

from antiphon.wire.errors import AuthenticationError

DEFAULT: Final = "default"


def project(scope: Scope, digests: tuple[bytes, ...]) -> str:
    """The project that the request's key belongs to; without any digest everybody is the default project.

    Raises AuthenticationError when the key is absent or unknown.
    """
    if not digests:
        return DEFAULT
    key = _bearer(scope)
    if key is None:
        raise AuthenticationError("No API key was given. Send it in the header 'Authorization: Bearer KEY'.")
    given = sha256(key).digest()
    # every digest is compared, so that the time says nothing about which of them fits
    if not any([hmac.compare_digest(given, known) for known in digests]):  # noqa: C419 (see above)
        raise AuthenticationError("The API key is not valid here.")
    return DEFAULT


def _bearer(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            return key.strip() or None if scheme.lower() == b"bearer" else None
    return None
