"""Sealing with AES-256-GCM under keys of this server.

A sealed text is base64 of `version (1 byte) | key id (4) | nonce (12) | ciphertext and tag`; version, key id, purpose
and project are authenticated with it. Keys are made of secrets: the first one seals, all of them open, so that a secret
is changed by putting the new one in front of the old one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from antiphon.ports.seal import SealError

FILE: Final = "seal.keys"
LEAST: Final = 32
"""Characters of a secret, at least."""
_VERSION: Final = b"\x01"
_NONCE: Final = 12
_HEAD: Final = 5
_TAG: Final = 16


class Keys:
    """The seal port over one or more secrets of at least `LEAST` characters; ValueError for others."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or any(len(secret) < LEAST for secret in secrets):
            raise ValueError(f"a secret for sealing has at least {LEAST} characters")
        self._keys = [_derived(secret) for secret in secrets]

    def seal(self, project: str, purpose: str, text: str, /) -> str:
        """The text under the first key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # 30 ms that a start can do without

        key_id, key = self._keys[0]
        head, nonce = _VERSION + key_id, os.urandom(_NONCE)
        encrypted = AESGCM(key).encrypt(nonce, text.encode("utf-8", "surrogatepass"), _bound(head, purpose, project))
        return base64.b64encode(head + nonce + encrypted).decode()

    def open(self, project: str, purpose: str, sealed: str, /) -> str:
        """The text, under whichever key it was sealed; SealError."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # as above
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            raw = binascii.a2b_base64(sealed, strict_mode=True)
        except ValueError:  # also what is no ASCII
            raise SealError("this is not base64") from None
        if len(raw) < _HEAD + _NONCE + _TAG or raw[:1] != _VERSION:
            raise SealError("this was not sealed here")
        head, nonce, encrypted = raw[:_HEAD], raw[_HEAD : _HEAD + _NONCE], raw[_HEAD + _NONCE :]
        for key_id, key in self._keys:
            if key_id == head[1:]:
                try:
                    opened = AESGCM(key).decrypt(nonce, encrypted, _bound(head, purpose, project))
                except InvalidTag:
                    continue
                return opened.decode("utf-8", "surrogatepass")
        raise SealError("no key of this server opens this")


def secrets_in(folder: Path) -> tuple[str, ...]:
    """The secrets in the folder's file, a line each; a first one is made when there is none, readable by nobody else.
    SealError when the file cannot be read or holds none."""
    path = folder / FILE
    try:
        if not path.exists():
            _make(path)
        found = tuple(line.strip() for line in path.read_text(encoding="ascii").splitlines() if line.strip())
    except (OSError, UnicodeError) as error:
        raise SealError(f"the file {path} cannot be read: {error}") from None
    if not found or any(len(secret) < LEAST for secret in found):
        raise SealError(f"the file {path} must hold secrets of at least {LEAST} characters, one a line")
    return found


def _make(path: Path) -> None:
    """Write a fresh secret, whole or not at all: two processes that start at once both use the one that was first."""
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # the other one was first
    except OSError:
        draft.replace(path)  # a file system without hard links
    finally:
        draft.unlink(missing_ok=True)


def _derived(secret: str) -> tuple[bytes, bytes]:
    """The key's id (4 bytes) and the key (32)."""
    made = hashlib.blake2b(secret.encode(), digest_size=36, person=b"antiphon seal 1").digest()
    return made[:4], made[4:]


def _bound(head: bytes, purpose: str, project: str) -> bytes:
    """What a sealed text is bound to."""
    return b"\0".join((head, purpose.encode(), project.encode()))
