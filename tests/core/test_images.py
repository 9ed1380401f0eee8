"""The size of an image from its first bytes."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.images import size_of, size_of_url

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 640, 480)
GIF = b"GIF89a" + struct.pack("<HH", 640, 480)
FRAME = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 480, 640)
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc4\x00\x02" + FRAME
VP8 = b"RIFF0000WEBPVP8 0000abc\x9d\x01\x2a" + struct.pack("<HH", 640, 480)
VP8L = b"RIFF0000WEBPVP8L0000\x2f" + struct.pack("<I", 639 | 479 << 14)
VP8X = b"RIFF0000WEBPVP8X00000000" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")


@pytest.mark.parametrize("file", [PNG, GIF, JPEG, VP8, VP8L, VP8X], ids=["png", "gif", "jpeg", "vp8", "vp8l", "vp8x"])
def test_the_size_is_read(file: bytes) -> None:
    assert size_of(file) == (640, 480)
    assert size_of_url(f"data:image/any;base64,{base64.b64encode(file).decode()}") == (640, 480)


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "data:image/png;base64,%%%", "data:image/png,plain", "", "data:"]
)
def test_what_cannot_be_told_is_not_guessed(url: str) -> None:
    assert size_of_url(url) is None


@given(st.sampled_from([PNG[:8], GIF[:6], b"\xff\xd8", b"RIFF0000WEBPVP8 ", b"RIFF", b""]), st.binary(max_size=64))
def test_nothing_raises(magic: bytes, rest: bytes) -> None:
    found = size_of(magic + rest)
    assert found is None or min(found) > 0
