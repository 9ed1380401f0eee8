"""Forms as clients write them."""

from __future__ import annotations

from dataclasses import dataclass

BOUNDARY = "----Boundary7MA4YWxk"


@dataclass(frozen=True)
class Part:
    """One part; a `filename` makes a file of it. `more`: further headers, as they are written."""

    name: str
    content: bytes = b""
    filename: str | None = None
    media: str | None = None
    more: str = ""

    def encoded(self, boundary: str = BOUNDARY) -> bytes:
        file = "" if self.filename is None else f'; filename="{self.filename}"'
        media = "" if self.media is None else f"Content-Type: {self.media}\r\n"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{self.name}"{file}\r\n{media}{self.more}\r\n'
        return head.encode() + self.content + b"\r\n"


def form(*parts: Part, boundary: str = BOUNDARY, end: str = "--\r\n") -> bytes:
    return b"".join(part.encoded(boundary) for part in parts) + f"--{boundary}{end}".encode()


def declared(boundary: str = BOUNDARY) -> dict[str, str]:
    return {"content-type": f"multipart/form-data; boundary={boundary}"}
