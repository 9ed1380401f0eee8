"""Which addresses may be connected to. Pure: names are resolved elsewhere.

Law: an address that holds another one (mapped, translated, tunnelled) is only as public as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_TRANSLATED: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("::/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address."""
_GIVEN: Final = (ip_network("2000::/3"), ip_network("64:ff9b::/96"))
"""What of IPv6 is given out to owners, or stands for IPv4."""
_NEVER: Final = (
    ip_network("192.0.0.0/24"),
    ip_network("192.88.99.0/24"),  # whoever happens to translate 6to4
    ip_network("168.63.129.16/32"),  # the control plane of a cloud, at a public address
    ip_network("64:ff9b:1::/48"),  # translation within a site
    ip_network("3fff::/20"),  # documentation, which older tables do not know
)


class Listed(msgspec.Struct, frozen=True):
    """Names (`host`, or `*.domain` for all below it), addresses and networks, as an operator lists them."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def name(self, host: str) -> bool:
        """Whether the name is listed."""
        steps = host.split(".")
        return host in self.names or any(f"*.{'.'.join(steps[n:])}" in self.names for n in range(1, len(steps)))

    def address(self, address: Address) -> bool:
        """Whether the address itself is listed."""
        return any(address in network for network in self.networks)


def listed(entries: Iterable[str]) -> Listed:
    """Read a list of the settings; ValueError names the entry that is neither a name nor an address."""
    names: set[str] = set()
    networks: list[Network] = []
    for entry in entries:
        word = entry.strip().lower().strip("[]")
        try:
            networks.append(ip_network(word, strict=False))
        except ValueError:
            if not NAME.fullmatch(word):
                raise ValueError(f"'{entry}' is no host name, address or network") from None
            names.add(word)
    return Listed(frozenset(names), tuple(networks))


class Rules(msgspec.Struct, frozen=True):
    """What is let out. Denial wins over allowance, allowance over the rule that only public addresses are."""

    allow: Listed = Listed()
    deny: Listed = Listed()

    def permit(self, host: str, addresses: Iterable[str]) -> bool:
        """Whether a host, as it is written and with all its addresses, may be connected to; not when it has none."""
        found = [_address(each) for each in addresses]
        host = host.rstrip(".").lower()
        if not found or self.deny.name(host):
            return False
        return all(self._permits(host, each) for each in found)

    def _permits(self, host: str, address: Address | None) -> bool:
        forms = () if address is None else tuple(_forms(address))
        if not forms or any(map(self.deny.address, forms)):
            return False
        return self.allow.name(host) or all(self.allow.address(each) or _public(each) for each in forms)


def public(address: Address) -> bool:
    """Whether everybody can reach it, and nobody but its owner is behind it."""
    return all(map(_public, _forms(address)))


def _public(form: Address) -> bool:
    return form.is_global and not form.is_multicast and not any(form in each for each in _NEVER) and _given(form)


def _given(address: Address) -> bool:
    return isinstance(address, IPv4Address) or any(address in network for network in _GIVEN)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _forms(address: Address) -> Iterator[Address]:
    """The address that is meant and those it holds. A mapped IPv4 address is that address."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    yield from address.teredo or ()
    if any(address in network for network in _TRANSLATED):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
