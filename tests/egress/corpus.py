"""URLs that lead to where nothing may go, as families: an address in every spelling of it, or a trick on a parser.

Law: `{port}` is the port of the trap, and every path has `/canary` in it: neither may ever stand in an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

PATH: Final = "/canary?key=canary"
PRIVATE: Final = "10.99.98.97"
"""Stands for what only the resolver inside knows: no error may tell of it."""
NAMES: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "localhost": [["127.0.0.1", "::1"]],
    "localhost.localdomain": [["127.0.0.1"]],
    "ip6-localhost": [["::1"]],
    "anything.localhost": [["127.0.0.1"]],
    "metadata.google.internal": [["169.254.169.254"]],
    "metadata.azure.internal": [["169.254.169.254"]],
    "instance-data.ec2.internal": [["169.254.169.254"]],
    "kubernetes.default.svc": [["10.96.0.1"]],
    "host.docker.internal": [["192.168.65.2"]],
    "intranet": [[PRIVATE]],
    "db.corp.test": [[PRIVATE]],
    "127.0.0.1.nip.test": [["127.0.0.1"]],
    "half.test": [["93.184.215.14", PRIVATE]],
    "other-half.test": [[PRIVATE, "93.184.215.14"]],
    "six.test": [["fd00:ec2::254"]],
    "mapped.test": [[f"::ffff:{PRIVATE}"]],
    "scoped.test": [["fe80::1%1"]],
    "zero.test": [["0.0.0.0"]],
    "xn--bcher-kva.test": [[PRIVATE]],
}
"""Names by what they resolve to, each time it is asked; the last answer stays."""


class Spelling(msgspec.Struct, frozen=True):
    """A URL, and the family that it is of."""

    family: str
    url: str


_INNER: Final = tuple(
    map(
        IPv4Address,
        ("127.0.0.1", "169.254.169.254", "10.66.0.7", "192.168.1.1", "172.16.0.1", "100.100.100.200", "0.0.0.0"),
    )
)
_FORBIDDEN4: Final = (
    *("0.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.2", "127.255.255.254", "168.63.129.16"),
    *("169.254.0.1", "169.254.170.2", "169.254.0.23", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.255.255"),
    *("192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255"),
)
_FORBIDDEN6: Final = (
    *("::", "::1", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "fe80::1", "fe80::1%25lo"),
    *("fe80::1%lo", "::1%25lo", "::1%1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fec0::1", "ff02::1", "ff05::2"),
    *("100::1", "2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "5f00::1", "FD00:EC2::254", "2001:0:a00:1::"),
    "2001:0:5db8:d70e:0:0:80ff:fffe",
)
_WIDE: Final = str.maketrans("0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19")
_ROUND: Final = str.maketrans("0123456789", "\u24ea\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467\u2468")


def _octets(address: IPv4Address) -> tuple[int, int, int, int]:
    first, second, third, fourth = address.packed
    return first, second, third, fourth


def _dotted(address: IPv4Address, *forms: str) -> str:
    return ".".join(format(octet, form) for octet, form in zip(_octets(address), forms, strict=True))


V4: Final[Mapping[str, Callable[[IPv4Address], str]]] = {
    "dotted": str,
    "trailing dot": lambda one: f"{one}.",
    "decimal": lambda one: str(int(one)),
    "hex": lambda one: f"0x{int(one):08x}",
    "upper hex": lambda one: f"0X{int(one):08X}",
    "long hex": lambda one: f"0x00000000{int(one):08x}",
    "octal": lambda one: f"0{int(one):o}",
    "hex octets": lambda one: ".".join(f"0x{octet:x}" for octet in _octets(one)),
    "octal octets": lambda one: ".".join(f"0{octet:o}" for octet in _octets(one)),
    "padded octets": lambda one: _dotted(one, "03d", "03d", "03d", "03d"),
    "mixed octets": lambda one: "0x{:x}.{}.0{:o}.{}".format(*_octets(one)),
    "two parts": lambda one: f"{_octets(one)[0]}.{int(one) & 0xFFFFFF}",
    "three parts": lambda one: "{}.{}.{}".format(*_octets(one)[:2], int(one) & 0xFFFF),
    "mixed parts": lambda one: f"0{_octets(one)[0]:o}.0x{int(one) & 0xFFFFFF:x}",
    "overflow": lambda one: str(int(one) + 2**32),
    "full width": lambda one: str(one).translate(_WIDE),
    "circled": lambda one: str(one).translate(_ROUND),
    "ideographic dots": lambda one: str(one).replace(".", "\u3002"),
    "half-width dots": lambda one: str(one).replace(".", "\uff61"),
    "full-width dots": lambda one: str(one).replace(".", "\uff0e"),
    "percent": lambda one: "".join(f"%{ord(each):02x}" for each in str(one)),
    "percent dots": lambda one: str(one).replace(".", "%2e"),
    "double percent": lambda one: str(one).replace(".", "%252e"),
    "in brackets": lambda one: f"[{one}]",
}


def _six(high: int, address: IPv4Address, shift: int = 0) -> str:
    """With these first 48 bits."""
    return str(IPv6Address(high << 80 | int(address) << shift))


V6: Final[Mapping[str, Callable[[IPv4Address], str]]] = {
    "mapped": lambda one: f"::ffff:{one}",
    "mapped hex": lambda one: str(IPv6Address(0xFFFF << 32 | int(one))),
    "mapped in full": lambda one: IPv6Address(0xFFFF << 32 | int(one)).exploded.upper(),
    "mapped with a zone": lambda one: f"::ffff:{one}%25lo",
    "compatible": lambda one: f"::{one}",
    "translated": lambda one: f"::ffff:0:{one}",
    "6to4": lambda one: _six(0x2002 << 32, one, 80),
    "NAT64": lambda one: _six(0x0064_FF9B_0000, one),
    "local NAT64": lambda one: _six(0x0064_FF9B_0001, one),
}


def _authorities() -> Iterator[Spelling]:
    """What stands around a host, as parsers read it differently."""
    for scheme in ("HTTP", "hTtP", "HTTPS"):
        yield Spelling("upper case", f"{scheme}://127.0.0.1:{{port}}{PATH}")
    users = ("user", "user:pass", "a.test", "a.test:80", "", ":", "a.test%2f", "a%40b", "a.test%00", "\u24db")
    for user in users:
        yield Spelling("userinfo", f"http://{user}@127.0.0.1:{{port}}{PATH}")
    for after in ("@a.test", "%40a.test", "#@a.test", "?@a.test", "\\@a.test", ";@a.test", " @a.test", "%23@a.test"):
        yield Spelling("authority", f"http://127.0.0.1:{{port}}{after}{PATH}")
    for before in ("a.test\\@", "a.test\\\\@", "a.test#@", "a.test?@", "a.test/@", "a.test&@", "a.test;@", "a@a.test@"):
        yield Spelling("authority", f"http://{before}127.0.0.1:{{port}}{PATH}")
    for form in ("http://127.0.0.1:{port}\\..\\", "http://127.0.0.1:0{port}", "http://127.0.0.1:+{port}"):
        yield Spelling("ports", f"{form}{PATH}")
    for form in ("http://127.0.0.1:9{port}9", "http://127.0.0.1:{port}:80", "http://[::1:{port}", "http://::1:{port}"):
        yield Spelling("ports", f"{form}{PATH}")


def _characters() -> Iterator[Spelling]:
    """What some parsers drop, and others do not."""
    for odd in ("\t", "\n", "\r", "\r\n", " ", "\x00", "\x0b", "\x7f", "%00", "%09", "%0a", "%0d%0a", "%20", "\u200b"):
        yield Spelling("odd characters", f"http://127.0.0.1{odd}:{{port}}{PATH}")
        yield Spelling("odd characters", f"http://127.0.0.1{odd}.a.test:{{port}}{PATH}")
        yield Spelling("odd characters", f"http://{odd}127.0.0.1:{{port}}{PATH}")
        yield Spelling("odd characters", f"ht{odd}tp://127.0.0.1:{{port}}{PATH}")
    for soft in ("\u00ad", "\u200d", "\ufeff", "\u2060"):
        yield Spelling("soft characters", f"http://127.0.0.1{soft}:{{port}}{PATH}")
        yield Spelling("soft characters", f"http://local{soft}host:{{port}}{PATH}")
    for form in ("http:127.0.0.1:{port}", "http:/127.0.0.1:{port}", "http:///127.0.0.1:{port}", "//127.0.0.1:{port}"):
        yield Spelling("slashes", f"{form}{PATH}")
    for form in ("127.0.0.1:{port}", "http:\\\\127.0.0.1:{port}", "http:/\\127.0.0.1:{port}", "://127.0.0.1:{port}"):
        yield Spelling("slashes", f"{form}{PATH}")


def _names() -> Iterator[Spelling]:
    """Names that lead inside, and spellings of the best known of them."""
    for name in NAMES:
        yield Spelling("names", f"http://{name}:{{port}}{PATH}")
        yield Spelling("names with a dot", f"http://{name}.:{{port}}{PATH}")
    for name in ("LOCALHOST", "LocalHost", "localhost..", ".localhost", "local%68ost", "%6c%6f%63%61%6c%68%6f%73%74"):
        yield Spelling("spelled names", f"http://{name}:{{port}}{PATH}")
    wide = "".join(chr(ord(each) + 0xFEE0) for each in "localhost")
    ringed = "".join(chr(ord(each) - ord("a") + 0x24D0) for each in "localhost")
    slanted = "".join(chr(ord(each) - ord("a") + 0x1D44E) if each != "h" else "\u210e" for each in "localhost")
    for name in (wide, ringed, slanted, "localho\u017ft", "loc\u2090lhost", "b\u00fccher.test", "intr\uff41net"):
        yield Spelling("folded names", f"http://{name}:{{port}}{PATH}")


def _schemes() -> Iterator[Spelling]:
    """What is no web at all."""
    for scheme in ("ftp", "gopher", "dict", "ldap", "tftp", "sftp", "ws", "wss", "redis", "http+unix", "jar:http"):
        yield Spelling("schemes", f"{scheme}://127.0.0.1:{{port}}{PATH}")
    files = ("file:///etc/passwd", "file://localhost/etc/passwd", "FILE:/etc/passwd", "file:etc/passwd")
    for url in (*files, "unix:///run/docker.sock", "javascript:fetch('/canary')", "blob:http://127.0.0.1/canary"):
        yield Spelling("schemes", url)
    for url in ("view-source:http://127.0.0.1:{port}/canary", "url:http://127.0.0.1:{port}/canary", "about:blank"):
        yield Spelling("schemes", url)


def spellings() -> tuple[Spelling, ...]:
    """All of them, each once."""
    found: dict[str, Spelling] = {}

    def add(family: str, url: str) -> None:
        found.setdefault(url, Spelling(family, url))

    for address in _INNER:
        for family, spell in V4.items():
            add(f"IPv4, {family}", f"http://{spell(address)}:{{port}}{PATH}")
        for family, spell in V6.items():
            add(f"IPv6, {family}", f"http://[{spell(address)}]:{{port}}{PATH}")
    for text in _FORBIDDEN4:
        add("IPv4, ranges", f"http://{text}:{{port}}{PATH}")
    for text in _FORBIDDEN6:
        add("IPv6, ranges", f"http://[{text}]:{{port}}{PATH}")
    for source in (_authorities(), _characters(), _names(), _schemes()):
        for each in source:
            add(each.family, each.url)
    return tuple(found.values())


SPELLINGS: Final = spellings()
CODES: Final = (301, 302, 303, 307, 308)
"""Redirects."""
TARGETS: Final = (
    *("http://127.0.0.1:{port}/canary", "http://[::1]:{port}/canary", "//127.0.0.1:{port}/canary"),
    *("http://2130706433:{port}/canary", "http://0x7f.1:{port}/canary", "http://localhost:{port}/canary"),
    *("http://169.254.169.254/latest/canary", "http://intranet/canary", "http://half.test/canary"),
    *("http://user@127.0.0.1:{port}/canary", "\\\\127.0.0.1:{port}\\canary", "HTTP://127.0.0.1:{port}/canary"),
    *("https://127.0.0.1:{port}/canary", "file:///etc/passwd", "gopher://127.0.0.1:{port}/canary", "http:///canary"),
)
"""Where an allowed site may send."""
