"""The readable text of an HTML page: headings, paragraphs, lists, links; no scripts, no styles.

Reads in one pass, in time that grows with the page's length alone: Python's own parser takes minutes for 100 kB of
opened tags, and what we read comes from strangers.
"""

import re
from html import unescape

import httpx

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*+)([^<>]*+)>")
_HREF = re.compile(r"""(?<![\w-])href\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
_SKIPPED = frozenset("script style noscript template svg iframe textarea select".split())
_BLOCKS = frozenset(
    "address article aside blockquote body br dd div dl dt figcaption footer form h1 h2 h3 h4 h5 h6 header hr li main "
    "nav ol option p pre section table title tr ul".split()
)
MAX_LINK = 500


def text_of(page: str, base: httpx.URL) -> str:
    """What a reader sees of ``page``, with links as ``[text](URL)``.

    >>> text_of('<h1>Ink</h1><script>x()</script><p>Black &amp; <a href="/blue">blue</a>', httpx.URL("http://a.de/b"))
    '# Ink\\n\\nBlack & [blue](http://a.de/blue)'
    """
    pieces: list[str] = []
    at, verbatim, link = 0, False, ""
    while at < len(page):
        opening = page.find("<", at)
        text = unescape(page[at : opening if opening >= 0 else len(page)])
        pieces.append(text if verbatim else re.sub(r"\s+", " ", text))
        if opening < 0:
            break
        tag = _TAG.match(page, opening)
        if tag is None:
            at = _after_other(page, opening)
            if at == opening + 1:
                pieces.append("<")
            continue
        closing, name, attributes = bool(tag[1]), tag[2].lower(), tag[3]
        at = tag.end()
        if name in _SKIPPED and not closing:
            end = re.compile(f"</{name}", re.IGNORECASE).search(page, at)
            at = end.start() if end else len(page)
        elif name == "pre":
            verbatim = not closing
        elif name == "a":
            if link:
                pieces.append(f"]({link})")
            link = "" if closing else _link(attributes, base)
            pieces.append("[" if link else "")
        if name in _BLOCKS:
            pieces.append("\n" if name in ("li", "tr", "br", "dt", "dd") else "\n\n")
        if not closing:
            pieces.append(_mark(name))
    return _tidy("".join(pieces) + (f"]({link})" if link else ""))


def _after_other(page: str, opening: int) -> int:
    """Where a comment or declaration ends that begins at ``opening``; the next place if there is none."""
    if page.startswith("<!--", opening):
        end = page.find("-->", opening + 4)
        return len(page) if end < 0 else end + 3
    if page.startswith(("<!", "<?"), opening):
        end = page.find(">", opening)
        return len(page) if end < 0 else end + 1
    return opening + 1


def _link(attributes: str, base: httpx.URL) -> str:
    found = _HREF.search(attributes)
    try:
        target = base.join(unescape(found[1].strip("\"'"))) if found else None
    except (httpx.InvalidURL, ValueError):
        return ""
    if target is None or target.scheme not in ("http", "https") or len(str(target)) > MAX_LINK:
        return ""
    return str(target)


def _mark(name: str) -> str:
    if re.fullmatch("h[1-6]", name):
        return "#" * int(name[1]) + " "
    return {"li": "- ", "td": " ", "th": " "}.get(name, "")


def _tidy(text: str) -> str:
    lines = "\n".join(line.rstrip() if line.strip() else "" for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\n (?=\S)", "\n", lines)).strip()
