"""Fetch a page over HTTP, from places on a list, for a model that may have been talked into asking for anything.

GET alone, no cookies, no credentials, no proxy, nothing from the environment. Every redirect is checked as the first
URL was.
"""

import codecs
import re
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from http import HTTPStatus
from ssl import SSLContext
from time import monotonic
from typing import Annotated, Any, NamedTuple

import httpcore
import httpx
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as make_langchain_tool

from ...errors import BadToolSetting
from ..traits import with_traits
from .addresses import networks_of
from .allowed_places import MAX_URL, Refused, checked, place_of
from .checked_network import CheckedNetwork, Resolve, left, resolve
from .page_text import text_of

HEADERS = {
    "Accept": "text/html, text/*, application/json, application/xml;q=0.9, */*;q=0.1",
    "Accept-Encoding": "gzip",
    "Connection": "close",
    "User-Agent": "threadmill",
}
REDIRECTS = (301, 302, 303, 307, 308)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_OWN_CHARSET = re.compile(rb"<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_CHARSETS = ("utf", "iso8859", "cp125", "ascii", "koi8", "gb", "big5", "shift_jis", "euc")


class Answer(NamedTuple):
    """What a server answered: where it may redirect to, or the content."""

    status: int
    location: str
    kind: str
    charset: str
    content: bytes


def make_fetch(
    allow: Sequence[str],
    *,
    max_bytes: int = 1_000_000,
    timeout_s: float = 20,
    max_redirects: int = 5,
    allow_private: Sequence[str] = (),
    resolve: Resolve = resolve,
) -> BaseTool:
    """The tool fetch, for the places in ``allow``: ``docs.python.org``, ``*.example.com``, ``https://host:8443/docs``.

    Only addresses on the public internet are connected to, and those in the networks ``allow_private``. An answer of
    more than ``max_bytes``, unpacked or not, is refused; all together takes ``timeout_s`` at most. The tool is declared
    to act: a URL can carry out what the model has read.

    Raises:
        BadToolSetting: nothing is allowed, something in it cannot be read, or a limit is not above 0.
    """
    if isinstance(allow, str) or not allow:
        raise BadToolSetting(f"allow is a list of hosts such as ['docs.python.org'], not {allow!r}")
    if max_bytes <= 0 or timeout_s <= 0 or max_redirects < 0:
        raise BadToolSetting("max_bytes and timeout_s must be above 0, max_redirects at least 0")
    places, private = [place_of(rule) for rule in allow], networks_of(allow_private)

    def fetch(
        url: Annotated[str, "The page's address, beginning with http:// or https://."],
    ) -> tuple[str, dict[str, Any]]:
        """Read a page, a text or JSON from the web."""
        until = monotonic() + timeout_s
        try:
            place = checked(url, places)
            for _ in range(max_redirects + 1):
                answer = _get(place, CheckedNetwork(until, resolve, private), until, max_bytes)
                if not answer.location:
                    return _shown(place, answer)
                target = checked(_joined(place, answer.location), places)
                if place.scheme == "https" and target.scheme == "http":
                    raise Refused(f"{place.host} leads from https to http")
                place = target
            raise Refused(f"more than {max_redirects} redirects")
        except Refused as refusal:
            raise ToolException(f"not fetched: {refusal}") from None
        except httpcore.TimeoutException:
            raise ToolException(f"not fetched: no complete answer within {timeout_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, zlib.error) as error:
            raise ToolException(f"not fetched: {type(error).__name__}: {error}") from None

    known = make_langchain_tool(fetch, response_format="content_and_artifact")
    return with_traits(known, acts=True, idempotent=True, retries=0, timeout_s=timeout_s + 5)


def _get(url: httpx.URL, network: CheckedNetwork, until: float, max_bytes: int) -> Answer:
    headers = [(b"Host", url.netloc), *((name.encode(), value.encode()) for name, value in HEADERS.items())]
    tls = _tls() if url.scheme == "https" else None
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    with (
        httpcore.ConnectionPool(ssl_context=tls, network_backend=network) as pool,
        pool.stream("GET", target, headers=headers) as response,
    ):
        told = httpx.Headers(response.headers)
        kind, _, parameters = told.get("content-type", "").partition(";")
        charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
        kind = kind.strip().lower()
        if response.status in REDIRECTS and "location" in told:
            return Answer(response.status, told["location"], kind, charset, b"")
        if response.status >= 400:
            raise Refused(f"{url.host} answered {_status(response.status)}")
        if not _is_text(kind):
            raise Refused(f"{url.host} answered with {kind[:80] or 'content of unknown type'!r}, which is no text")
        packing = told.get("content-encoding", "identity").strip().lower()
        content = _content(response.iter_stream(), packing, until, max_bytes)
        return Answer(response.status, "", kind, charset, content)


def _content(chunks: Iterable[bytes], packing: str, until: float, max_bytes: int) -> bytes:
    """All of it, unpacked no further than the limit."""
    if packing not in ("identity", "", "gzip", "x-gzip"):
        raise Refused(f"the answer is packed as {packing[:40]!r}, which was not asked for")
    content, received = bytearray(), 0
    unpack = zlib.decompressobj(wbits=31) if packing.endswith("gzip") else None
    for chunk in chunks:
        left(until)
        received += len(chunk)
        while chunk:
            if unpack is not None and unpack.eof and chunk.startswith(b"\x1f\x8b"):  # one more, as by `cat a.gz b.gz`
                unpack = zlib.decompressobj(wbits=31)
            content += chunk if unpack is None else unpack.decompress(chunk, max_bytes + 1 - len(content))
            if max(received, len(content)) > max_bytes:
                raise Refused(f"the answer is larger than {max_bytes:,} bytes")
            rest = b"" if unpack is None else unpack.unused_data
            chunk = rest if rest.startswith(b"\x1f\x8b") else b""
    if unpack is not None and received and not unpack.eof:
        raise Refused("the packed answer breaks off")
    return bytes(content)


def _shown(url: httpx.URL, answer: Answer) -> tuple[str, dict[str, Any]]:
    charset = _charset(answer)
    if b"\0" in answer.content and not charset.startswith("utf-16"):
        raise Refused(f"{url.host} answered with something that is no text")
    text = answer.content.decode(_codec(charset), errors="replace")
    if answer.kind in ("text/html", "application/xhtml+xml"):
        text = text_of(text, url)
    about = {"url": str(url), "status": answer.status, "type": answer.kind, "bytes": len(answer.content)}
    return f"{url}\n\n{text}" if text else f"{url}\n\n[empty]", about


def _joined(url: httpx.URL, location: str) -> str:
    if len(location) > MAX_URL or "\\" in location or not location.isprintable():
        raise Refused(f"{url.host} redirects to something that is no URL")
    try:
        return str(url.join(location))
    except (httpx.InvalidURL, ValueError):
        raise Refused(f"{url.host} redirects to something that is no URL") from None


def _is_text(kind: str) -> bool:
    family, _, name = kind.partition("/")
    return family == "text" or (family == "application" and name.rpartition("+")[2] in ("json", "xml", "javascript"))


def _charset(answer: Answer) -> str:
    """What its first bytes are the mark of, or the server says, or the page says of itself; empty if nobody does."""
    for mark, charset in _MARKS:
        if answer.content.startswith(mark):
            return charset
    told = _OWN_CHARSET.search(answer.content, 0, 2_000) if "ml" in answer.kind else None
    if answer.charset or told is None:
        return answer.charset
    own = told[1].decode().lower()
    return "" if own.startswith("utf-16") else own  # then it could not have been read so far


def _codec(charset: str) -> str:
    """A codec for text; others that Python knows can take very long."""
    try:
        name = codecs.lookup(charset).name if charset else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"
    return name if name.startswith(_CHARSETS) else "utf-8"


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


@cache
def _tls() -> SSLContext:
    return httpx.create_ssl_context(trust_env=False)
