"""Which URLs a model may fetch: how one is written so that everybody reads the same in it, and what a rule permits.

A rule is a host (``docs.python.org``), all hosts below one (``*.example.com``), or every public host (``*``); a scheme,
a port and the beginning of the path can be added: ``https://example.com:8443/docs``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote

import httpx

from ...errors import BadToolSetting

PORTS = {"http": 80, "https": 443}
MAX_URL = 2_000
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*+")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)")


class Refused(Exception):
    """A URL that is not fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one rule permits; None is any scheme, or that scheme's own port."""

    scheme: str | None
    host: str
    below: bool
    port: int | None
    path: str


def place_of(rule: str) -> Place:
    """What ``rule`` permits.

    >>> place_of("*.example.com/docs")
    Place(scheme=None, host='example.com', below=True, port=None, path='/docs')

    Raises:
        BadToolSetting: it is no rule.
    """
    scheme, _, rest = rule.rpartition("://")
    below = rest.startswith("*")
    if below and rest[1:2] not in ("", ".", ":", "/"):
        raise BadToolSetting(f"{rule!r} is no place to fetch from; write '*.host' for all hosts below one")
    rest = rest.removeprefix("*").removeprefix("." if below else "")
    try:
        # A scheme that httpx knows would make it drop that scheme's own port.
        url = httpx.URL(f"rule://{rest}")
        host = _host(url) if url.host or not below else ""
    except (httpx.InvalidURL, Refused) as error:
        raise BadToolSetting(f"{rule!r} is no place to fetch from: {error}; write 'host' or '*.host'") from None
    if scheme not in ("", *PORTS) or url.query or url.fragment or url.userinfo or "*" in rest:
        raise BadToolSetting(f"{rule!r} is no place to fetch from; write 'host', '*.host' or 'https://host:port/path'")
    return Place(scheme or None, host, below, url.port, url.path.rstrip("/"))


def checked(text: str, places: Sequence[Place]) -> httpx.URL:
    """The URL to fetch, without fragment, its host in the one way it is written.

    Raises:
        Refused: it can be read in two ways, or no place permits it.
    """
    if len(text) > MAX_URL:
        raise Refused(f"a URL may have {MAX_URL:,} characters, this one has {len(text):,}")
    if "\\" in text or not text.isprintable() or " " in text:
        raise Refused("a URL has no backslashes, spaces or control characters")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise Refused(f"this is no URL: {error}") from None
    if url.scheme not in PORTS:
        raise Refused("only http:// and https:// can be fetched")
    if url.userinfo or "@" in re.split("[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        raise Refused("a URL with a user name or password is not fetched")
    url = url.copy_with(host=_host(url), fragment=None)
    _check_path(url)
    if not any(_permits(place, url) for place in places):
        raise Refused(f"{url.host} is not among the places that may be fetched, or not with this scheme, port or path")
    return url


def _host(url: httpx.URL) -> str:
    """In small letters, in ASCII, without the dot at its end."""
    host = url.raw_host.decode("ascii").lower()
    try:
        _ = url.host
    except ValueError:  # begins with xn-- and is not encoded as such names are
        raise Refused(f"{host!r} is no host name") from None
    host = host.removesuffix(".")
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    if not _NAME.fullmatch(host):
        raise Refused(f"{host!r} is no host name")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise Refused(f"{host!r} could be read as an address; write a name, or an address as in 192.0.2.1")
    return host


def _check_path(url: httpx.URL) -> None:
    path = url.raw_path.decode("ascii").partition("?")[0]
    for _ in range(3):  # a server may decode more than once
        path = unquote(path, errors="replace")
    if "%" in path and re.search("%25|%2e|%2f|%5c", path, re.IGNORECASE):
        raise Refused("the path of this URL is encoded too often")
    if "\\" in path or {"..", "."} & {part.partition(";")[0] for part in path.split("/")}:
        raise Refused("a path with '..' in it is not fetched")


def _permits(place: Place, url: httpx.URL) -> bool:
    if place.scheme not in (None, url.scheme):
        return False
    own = PORTS[url.scheme]
    if (own if url.port is None else url.port) != (own if place.port is None else place.port):
        return False
    if place.path and not f"{url.path}/".startswith(f"{place.path}/"):
        return False
    if not place.below:
        return url.host == place.host
    return not _is_address(url.host) and (not place.host or url.host.endswith(f".{place.host}"))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
