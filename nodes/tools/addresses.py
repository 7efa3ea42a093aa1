"""Which network addresses belong to the public internet, and which lead into somebody's own machines."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ...errors import BadToolSetting

Network = IPv4Network | IPv6Network

_NEVER = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by customers of a carrier; some clouds' metadata
        "168.63.129.16/32",  # Azure's own services, seen from inside
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "fc00::/6",  # unique local, and the two old kinds of local that follow
        "fe00::/7",
        "ff00::/8",
    )
)
_INSIDE = ((ip_network("::ffff:0:0/96"), 0), (ip_network("::/96"), 0), (ip_network("64:ff9b::/96"), 0))
_INSIDE += ((ip_network("2002::/16"), 80),)
"""IPv6 networks whose addresses hold an IPv4 address, and how many bits follow it."""


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that ``texts`` name.

    Raises:
        BadToolSetting: one names none.
    """
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise BadToolSetting(f"{error}; write a network as in '10.0.0.0/8'") from None


def is_reachable(address: str, private: Sequence[Network] = ()) -> bool:
    """Whether ``address`` is on the public internet or in one of the networks ``private``.

    >>> is_reachable("93.184.216.34"), is_reachable("169.254.169.254"), is_reachable("::ffff:10.0.0.1")
    (True, False, False)
    """
    try:
        known = ip_address(address)
    except ValueError:  # with a zone, or no address at all
        return False
    known = _embedded(known)
    if any(known.version == network.version and known in network for network in private):
        return True
    never = any(known.version == network.version and known in network for network in _NEVER)
    return known.is_global and not never


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    for network, behind in _INSIDE:
        if address.version == 6 and address in network and int(address) > 1:
            return IPv4Address(int(address) >> behind & 0xFFFFFFFF)
    return address
