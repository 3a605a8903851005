"""Which addresses may be connected to: public ones, and those that are allowed by name.

A name is resolved once, every address it has is checked, and the connection goes to one of those: what a name
server says a moment later does not matter. See OWASP, *Server-Side Request Forgery Prevention*.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from dalsegno.errors import DefinitionError

Address = IPv4Address | IPv6Address

METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, DigitalOcean, OpenStack
            "169.254.170.2",  # AWS ECS
            "169.254.170.23",  # AWS EKS
            "fd00:ec2::23",
            "fd00:ec2::254",
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure: public by its number
            "192.0.0.192",  # Oracle
        ),
    )
)
"""Where clouds hand their credentials to whoever asks from inside: allowed only by their own address or network."""

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_UNICAST = IPv6Network("2000::/3")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


@dataclass(frozen=True, slots=True)
class Guard:
    """What is allowed beside public addresses: all `private` ones, these `hosts`, these `networks`.

    >>> Guard().refuses("agents.example.org", "10.0.0.7")
    'private'
    >>> Guard(networks=(IPv4Network("10.0.0.0/24"),)).refuses("agents.example.org", "10.0.0.7")
    """

    private: bool = False
    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def refuses(self, host: str, address: str) -> str | None:
        """What kind of address it is, where that is not allowed; else None."""
        ip = ipaddress.ip_address(address)
        for meant in (ip, *_within(ip)):
            kind = _kind(meant)
            if kind is None or any(
                meant.version == network.version and meant in network for network in self.networks
            ):
                continue
            if kind in ("metadata", "multicast", "reserved") or not (self.private or self._names(host)):
                return kind
        return None

    def _names(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        if host in self.hosts:
            return True
        return any(host.endswith(pattern[1:]) for pattern in self.hosts if pattern.startswith("*."))


def guard_of(allow_private: bool | str | Iterable[str] | Guard) -> Guard:
    """`allow_private=` as given: yes or no, or the hosts, addresses and networks that are allowed.

    Raises
    ------
    DefinitionError
        An entry is no host, address or network.
    """
    if isinstance(allow_private, Guard):
        return allow_private
    if isinstance(allow_private, bool):
        return Guard(private=allow_private)
    if not isinstance(allow_private, Iterable):
        raise DefinitionError(
            f"allow_private={allow_private!r}: True, False, or hosts and networks are needed."
        )
    entries = [allow_private] if isinstance(allow_private, str) else list(allow_private)
    hosts, networks = set(), []
    for entry in entries:
        name = entry.lower() if isinstance(entry, str) else ""
        try:
            networks.append(ipaddress.ip_network(name, strict=False))
        except ValueError:
            if not _HOST.fullmatch(name) or numeric(name) is not None:
                raise DefinitionError(
                    f"allow_private={entry!r}: a host (`agents.internal`, `*.internal`), an address (`10.0.0.7`) or a "
                    "network (`10.0.0.0/8`) is needed."
                ) from None
            hosts.add(name.rstrip("."))
    return Guard(hosts=frozenset(hosts), networks=tuple(networks))


def numeric(host: str) -> str | None:
    """The address that a host is in figures, also as one number, octal or hexadecimal; None for a name.

    >>> numeric("0x7f.1"), numeric("2130706433"), numeric("[::1]"), numeric("example.org")
    ('127.0.0.1', '127.0.0.1', '::1', None)
    """
    bare = host.strip("[]").rstrip(".")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if ":" in bare or not re.fullmatch(r"[0-9a-fx.]+", bare, re.IGNORECASE):
        return None
    try:
        return str(IPv4Address(socket.inet_aton(bare)))  # as the system itself reads it
    except OSError:
        return None


def parsed(url: str, *, what: str = "remote") -> SplitResult:
    """An agent's URL in its parts.

    Raises
    ------
    DefinitionError
        It is no URL of an agent: another scheme, no host, a user and password in it, characters that two readers
        of it would take differently.
    """
    shown = url if isinstance(url, str) and "@" not in url else "…"
    if not isinstance(url, str) or re.search(r"[\x00-\x20\x7f\\]", url):
        raise DefinitionError(f"{what}({shown!r}): a URL has no spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DefinitionError(f"{what}({shown!r}): {error}.") from error
    if parts.scheme not in ("http", "https"):
        raise DefinitionError(
            f"{what}({shown!r}): an agent's URL begins with https:// or http://. A skill of a registry is "
            'remote("skill:NAME", registry=...).'
        )
    if "@" in parts.netloc:
        raise DefinitionError(
            f"{what}: a URL with a user in it shows a password wherever it is shown, and can look like another "
            "host's. Give it as a header: headers={'Authorization': ...}."
        )
    if (
        not parts.hostname
        or port == 0
        or parts.fragment
        or not parts.hostname.isascii()
        or "%" in parts.netloc
    ):
        raise DefinitionError(
            f"{what}({shown!r}): a host is needed, in ASCII (`xn--…` for another script), and no #fragment."
        )
    return parts


def shown(url: str) -> str:
    """A URL for messages: without what may be secret in it.

    >>> shown("https://me:secret@agents.example.org:8443/rpc?key=secret")
    'https://agents.example.org:8443/rpc'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _within(ip: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a packet to an IPv6 address may end up at."""
    if isinstance(ip, IPv4Address):
        return
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    if any(ip in network for network in _NAT64) or (ip in _COMPATIBLE and int(ip) > 1):
        yield IPv4Address(int(ip) & 0xFFFFFFFF)


def _kind(ip: Address) -> str | None:
    """What kind of address it is; None for a public one."""
    if ip in METADATA:
        return "metadata"
    if isinstance(ip, IPv6Address):
        # Of 6to4 Python 3.13 says that it is private, whatever is in it.
        if ip.ipv4_mapped is not None or ip.sixtofour is not None or any(ip in network for network in _NAT64):
            return None  # the IPv4 address in it says
        if ip.scope_id is not None and not ip.is_link_local:
            return "reserved"
    if ip.is_loopback or ip.is_unspecified:  # 0.0.0.0 is this machine
        return "loopback"
    if ip.is_link_local:
        return "link-local"
    if ip.is_multicast:
        return "multicast"
    if isinstance(ip, IPv6Address):
        if ip in _COMPATIBLE:
            return None  # the IPv4 address in it says
        if ip.is_site_local or ip.is_private:
            return "private"
        return None if ip in _UNICAST else "reserved"
    if ip.is_reserved or ip == IPv4Address("255.255.255.255"):
        return "reserved"
    return None if ip.is_global else "private"
