"""Personal data in a text, as Presidio's recognizers of patterns see it: no language model, no network.

What they take for data too easily is narrowed: numbers without a sign of being a phone's, loopback addresses, ids.
"""

import logging
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any, ClassVar

from ...errors import MissingLibrary
from .windows import windows

PERSONAL = (
    "EMAIL_ADDRESS",
    "CREDIT_CARD",
    "IBAN_CODE",
    "PHONE_NUMBER",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "US_SSN",
    "CRYPTO",
)
"""Presidio's names."""
THRESHOLD = 0.4
"""Below it Presidio wants words around the number that speak for it: any nine digits may be a US_SSN."""
LONGEST_ADDRESS = 320
OWN_SUFFIXES = ("local", "localdomain", "internal", "intranet", "corp", "lan", "home", "private", "test", "example")
"""Ends of addresses that no public list has, but companies do."""
_HINTS = {
    "CREDIT_CARD": re.compile(r"\d{4}[- ]?\d{3,4}[- ]?\d{3,4}"),
    "IBAN_CODE": re.compile(r"[A-Z]{2}\d{2}[ -]?[A-Z0-9]{4}"),
    "IP_ADDRESS": re.compile(r"\d\.\d{1,3}\.\d|::|[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:"),
    "MAC_ADDRESS": re.compile(r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}"),
    "US_SSN": re.compile(r"\d{3}[- .]\d{2}[- .]\d{4}"),
    "CRYPTO": re.compile(r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}"),
}
"""Part of every find; only around it the recognizer, which is slower, is asked."""
_REACH = 100
"""More characters than a find has on either side of its hint."""
_NOBODYS = re.compile(
    r"(?<![0-9A-Za-z-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z-])"  # a UUID
    r"|\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?"  # a time
    r"|(?<![\w.])\d+\.\d{5,}(?![\w.])"  # a fraction
)
"""Digits that are not looked at."""
_CARD = re.compile(r"4(?:\d{12}|\d{15})|5\d{15}|2\d{15}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|6\d{11,16}")
"""The lengths of the card issuers' numbers."""
_AT = re.compile("@")
_WORD = re.compile(r"\S+")
_SETTING = re.compile(r"(?:[\w.-]+=[^=&]*&)*[\w-]+=['\"]?(?=[^@=])")
_NUMBER = re.compile(r"\d(?:[ \xa0().\-/\]]{0,3}\d){6,}")
_ARITHMETIC = re.compile(r" [-/] ")
_PHONE_WORD = re.compile(r"phone|\btel\b|mobile|\bcell|\bfax|whatsapp|\bsms\b", re.IGNORECASE)
_WORD_BEFORE = 32
_NATIONAL_DIGITS = 9
"""Fewer digits, written without a country, are more often an amount, an id or a date."""


def personal_finder(kind: str) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Finds the characters ``[start, end)`` that are of ``kind``.

    Raises:
        MissingLibrary: Presidio is not installed.
    """
    if kind == "PHONE_NUMBER":
        return _phone_finder()
    recognizer = _recognizers()[kind]()
    if kind == "EMAIL_ADDRESS":
        return lambda text: _addresses(text, recognizer.analyze)

    def find(text: str) -> Iterator[tuple[int, int]]:
        for low, window in windows(text, _HINTS[kind], _REACH):
            for one in recognizer.analyze(_NOBODYS.sub(_blank, window), [kind]):
                if one.score >= THRESHOLD and _is_likely(kind, window[one.start : one.end]):
                    yield low + one.start, low + one.end

    return find


def _addresses(text: str, analyze: Callable[..., Any]) -> Iterator[tuple[int, int]]:
    """E-mail addresses. Only words with an @ are looked at, because long ones without it take a square of time."""
    for low, window in windows(text, _AT, LONGEST_ADDRESS):
        for word in _WORD.finditer(window):
            if "@" not in word[0]:
                continue
            for one in analyze(word[0], ["EMAIL_ADDRESS"]):
                setting = _SETTING.match(word[0], one.start, one.end)  # name=jo@example.com
                start = setting.end() if setting else one.start
                local, _, domain = word[0][start : one.end].rpartition("@")
                if local != "git":  # not anybody's: git@github.com
                    yield low + word.start() + start, low + word.start() + one.end - len(domain) + _public(domain)


def _public(domain: str) -> int:
    """How many characters of ``domain`` are one that exists; else 0.

    Of ``example.com.Thanks`` and ``example.comへ`` the first eleven.
    """
    labels = domain.split(".")
    for count in range(len(labels), 1, -1):
        name = ".".join(labels[:count])
        for tried in dict.fromkeys((name, name.rstrip(_letters_behind(name)))):
            if _suffixes()(tried).fqdn:
                return len(tried)
    return 0


def _letters_behind(name: str) -> str:
    """The characters that are not ASCII in the last label."""
    return "".join(char for char in name.rpartition(".")[2] if not char.isascii())


def _phone_finder() -> Callable[[str], Iterator[tuple[int, int]]]:
    recognizer = _recognizers()["PHONE_NUMBER"]
    any_form, usual_form = recognizer(leniency=1), recognizer(leniency=2)

    @lru_cache(maxsize=4096)
    def look(window: str, lenient: bool) -> tuple[tuple[int, int], ...]:
        found = (any_form if lenient else usual_form).analyze(window, ["PHONE_NUMBER"])
        return tuple(sorted({(one.start, one.end) for one in found}))

    def find(text: str) -> Iterator[tuple[int, int]]:
        for from_here, stretch in windows(text, _NUMBER, _REACH):
            plain = _NOBODYS.sub(_blank, stretch)
            for match in _NUMBER.finditer(plain):
                low = max(0, match.start() - 4)
                before = plain[low : match.start()]
                named = _PHONE_WORD.search(stretch, max(0, match.start() - _WORD_BEFORE), match.start()) is not None
                lenient = named or "+" in before or "＋" in before
                if not lenient and match[0].isdigit():
                    continue
                for start, end in look(plain[low : match.end() + 8], lenient):
                    if lenient or _is_written_as_phone(plain[low + start : low + end]):
                        yield from_here + low + start, from_here + low + end

    return find


def _is_written_as_phone(number: str) -> bool:
    """Is it more than an amount, an id, a date or a sum, although nothing else says so?"""
    digits = sum(char.isdigit() for char in number)
    return digits >= _NATIONAL_DIGITS and not number.strip("([])").isdigit() and not _ARITHMETIC.search(number)


def _is_likely(kind: str, found: str) -> bool:
    """Is it more than a number with the right check digit, or an address that everybody has?"""
    if kind == "CREDIT_CARD":
        return _CARD.fullmatch(re.sub(r"\D", "", found)) is not None
    return kind != "IP_ADDRESS" or not _is_everybodys(found)


def _is_everybodys(address: str) -> bool:
    """Loopback, unspecified, a version such as ``120.0.0.0``, or a slice of Python or name of C++ such as ``::2``?"""
    from ipaddress import ip_interface

    ip = ip_interface(address).ip
    looks_else = str(ip).endswith(".0.0") if ip.version == 4 else len(address) < 7
    return ip.is_loopback or ip.is_unspecified or looks_else


def _blank(match: re.Match[str]) -> str:
    return "_" * len(match[0])


@cache
def _recognizers() -> dict[str, Any]:
    """Classes by kind."""
    try:
        from presidio_analyzer import Pattern
        from presidio_analyzer import predefined_recognizers as known
    except ImportError as error:
        raise MissingLibrary("redaction needs presidio-analyzer; pip install 'threadmill[redact]'") from error

    # where a check fails, it would write to the log what it was asked about
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)

    class Cards(known.CreditCardRecognizer):
        """With the numbers from 2221 to 2720, which Mastercard has too."""

        PATTERNS: ClassVar = [
            *known.CreditCardRecognizer.PATTERNS,
            Pattern("2-series", r"\b2[2-7]\d{2}([- ]?)\d{4}\1\d{4}\1\d{4}\b", 0.3),
        ]

    class Addresses(known.EmailRecognizer):
        """With the list of public suffixes that came with the library; the original downloads one."""

        def validate_result(self, pattern_text: str) -> bool:
            return _public(pattern_text.rpartition("@")[2]) > 0

    return {
        "EMAIL_ADDRESS": Addresses,
        "CREDIT_CARD": Cards,
        "IBAN_CODE": known.IbanRecognizer,
        "PHONE_NUMBER": known.PhoneRecognizer,
        "IP_ADDRESS": known.IpRecognizer,
        "MAC_ADDRESS": known.MacAddressRecognizer,
        "US_SSN": known.UsSsnRecognizer,
        "CRYPTO": known.CryptoRecognizer,
    }


@cache
def _suffixes() -> Any:
    """Tells the public suffix of a domain; Presidio depends on its library."""
    from tldextract import TLDExtract

    return TLDExtract(cache_dir=None, suffix_list_urls=(), extra_suffixes=OWN_SUFFIXES)
