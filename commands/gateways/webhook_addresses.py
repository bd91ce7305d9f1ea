"""Where webhooks may be sent: addresses of the internet, by https, and what is allowed by name.

Who may add a webhook must not reach by it what only this machine can reach. So a host's addresses
are looked up, each is held to being one of the internet, and the connection is made to the very
addresses that were looked at: a name that leads elsewhere a moment later leads nowhere.

    find_target("https://hooks.example/keyfold", AllowedHosts.parse("10.0.0.0/8, hooks.internal"))
"""

from __future__ import annotations

import ipaddress
import re
import socket
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Thread
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

URL_LENGTH_MAX: Final = 2_000
LOOK_UP_S: Final = 5.0
PORTS: Final = {"http": 80, "https": 443}

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_URL = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Such an address stands for one of IPv4, or for whatever a gateway makes of it.
_TRANSLATED: Final = tuple(
    map(
        ipaddress.IPv6Network,
        ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
    )
)
# What some versions of Python take for addresses of the internet.
_RESERVED: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
            "240.0.0.0/4", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
        ),
    )
)  # fmt: skip


# Names that lead nowhere on the internet: localhost (RFC 6761), .local and what networks use beside
# it (RFC 6762, appendix G), .home.arpa (RFC 8375). So do names without a dot.
_OF_A_NETWORK: Final = frozenset(
    ("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan")
)


class AddressRefused(Exception):
    """Nothing is sent there; the message says why and what would do."""


_LOCAL: Final = (
    "has a name of this machine or of a network of its own:"
    " name the host in KEYFOLD_WEBHOOK_HOSTS if it is meant"
)
_PRIVATE: Final = (
    "leads to an address that is private, of this machine or reserved:"
    " name the host in KEYFOLD_WEBHOOK_HOSTS if it is meant"
)


class AddressUnknown(Exception):
    """The host's name leads nowhere now."""


class AllowedHosts(NamedTuple):
    """What may be sent to although it is not of the internet, and without https.

    Attributes:
        names: hosts as an address has them, with or without their port.
        networks: of addresses; one address is the smallest.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[IpNetwork, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowedHosts:
        """Return what a setting allows: names, addresses and networks, split by commas.

        Raises:
            ValueError: the message is the one that is none of them.
        """
        names, networks = set(), []
        for one in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(one.strip("[]")))
            except ValueError:
                host, _, port = one.rpartition(":") if ":" in one else (one, "", "")
                if (port and not port.isdecimal()) or not (
                    _HOST.fullmatch(host) or _is_ip(host.strip("[]"))
                ):
                    raise ValueError(one) from None
                names.add(one)
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str, port: int) -> bool:
        """Return whether a host is allowed whatever its addresses are."""
        shown = f"[{host}]" if ":" in host else host
        return not self.names.isdisjoint({host, f"{shown}:{port}"})

    def has_address(self, address: IpAddress) -> bool:
        """Return whether an address is allowed."""
        return any(address in network for network in self.networks)


class Target(NamedTuple):
    """Where a message goes.

    Attributes:
        host: as certificates name it.
        path: with the query.
        addresses: of the host, each looked at; none other is connected to.
    """

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """Return the host as a request names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def find_target(url: str, allowed: AllowedHosts) -> Target:
    """Return where an address leads now.

    Raises:
        AddressRefused: nothing may be sent there.
        AddressUnknown: the name leads nowhere now.
    """
    parts, host, port = _split(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    by_name = allowed.has_name(host, port)
    is_local = not by_name and _is_of_a_network(host)
    if is_local and not allowed.networks:
        raise AddressRefused(_LOCAL)
    found = _look_up(host, port)
    for address in found:
        if (
            not by_name
            and not allowed.has_address(address)
            and (is_local or not is_of_internet(address))
        ):
            raise AddressRefused(_LOCAL if is_local else _PRIVATE)
    if parts.scheme != "https" and not by_name and not all(map(allowed.has_address, found)):
        raise AddressRefused(
            "must begin with https://, unless KEYFOLD_WEBHOOK_HOSTS names the host"
        )
    return Target(parts.scheme, host, port, path, tuple(map(str, found)))


def check_url(url: str, allowed: AllowedHosts) -> str:
    """Return the host of an address that messages may be sent to.

    A name that leads nowhere now is taken: it is looked up again for each message.

    Raises:
        AddressRefused: nothing may be sent there.
    """
    parts, host, port = _split(url)
    if parts.scheme != "https" and not allowed.has_name(host, port) and not allowed.networks:
        raise AddressRefused(
            "must begin with https://, unless KEYFOLD_WEBHOOK_HOSTS names the host"
        )
    try:
        find_target(url, allowed)
    except AddressUnknown:
        if allowed.has_name(host, port):
            return host
        if parts.scheme != "https":
            raise AddressRefused("leads nowhere, and without https that is not taken") from None
        if _is_of_a_network(host):
            raise AddressRefused(_LOCAL) from None
    return host


def _is_of_a_network(host: str) -> bool:
    """Return whether a name is of this machine or of a network of its own, by how it ends."""
    if _is_ip(host):
        return False
    return (
        "." not in host
        or host.rpartition(".")[2] in _OF_A_NETWORK
        or f".{host}".endswith(".home.arpa")
    )


def is_of_internet(address: IpAddress) -> bool:
    """Return whether an address is one that anybody on the internet can be meant by."""
    if any(address in network for network in (*_RESERVED, *_TRANSLATED)):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_private or address.is_reserved or address.is_unspecified
    )


def _split(url: str) -> tuple[SplitResult, str, int]:
    """Return the parts of an address, its host and its port."""
    if len(url) > URL_LENGTH_MAX or not _URL.fullmatch(url) or "\\" in url:
        raise AddressRefused(
            f"must be an address of up to {URL_LENGTH_MAX} characters of ASCII, without spaces"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AddressRefused("must be an address like https://hooks.example/keyfold") from None
    if parts.scheme not in PORTS or not host or port == 0:
        raise AddressRefused("must be an address like https://hooks.example/keyfold")
    if "@" in parts.netloc:
        raise AddressRefused("must hold no user name or password: messages are signed")
    if parts.fragment or "#" in url:
        raise AddressRefused("must have no fragment")
    if not _is_ip(host):
        host = host.removesuffix(".")
        if not _HOST.fullmatch(host):
            raise AddressRefused("must name a host in ASCII: xn--… for others")
        # What a resolver may take for a number is one in a form that nobody writes by mistake.
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            raise AddressRefused("must have an address of IPv4 in its usual form, as 192.0.2.1")
    return parts, host, port or PORTS[parts.scheme]


def _is_ip(host: str) -> bool:
    """Return whether a host is an address in its usual form."""
    try:
        return "%" not in host and bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _look_up(host: str, port: int) -> list[IpAddress]:
    """Return a host's addresses, once each; whoever looks them up may take as long as he likes."""
    if _is_ip(host):
        return [ipaddress.ip_address(host)]
    answer: Future[list[IpAddress]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.set_result([ipaddress.ip_address(str(one[4][0])) for one in found])
        except (OSError, ValueError) as error:  # the latter for one with a scope
            answer.set_exception(AddressUnknown(type(error).__name__))

    Thread(target=ask, daemon=True).start()
    try:
        found = list(dict.fromkeys(answer.result(LOOK_UP_S)))
    except FutureTimeout:
        raise AddressUnknown("no answer") from None
    if not found:
        raise AddressUnknown("no address")
    return found
