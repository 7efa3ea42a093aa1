"""Replaces personal data and secrets in texts, JSON values and the tokens of trajectories.

The same text gives the same result wherever it stands, so branches that begin with the same tokens still do afterwards.
The only exception is a find that reaches across the point where they part: they then differ in front of it too, and
what compares them refuses the pair.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from ...errors import BadRedaction
from ..trajectory import Trajectory
from .detectors import Detectors, Found
from .redacted_tokens import TokenRedaction
from .token_texts import TokenTexts

REMEMBERED = 1 << 16
"""Texts whose finds are kept, about 200 bytes each: branches and threads begin alike."""
_BINARY = re.compile(r"data:[\w/+.;=-]*;base64,[A-Za-z0-9+/=\s]*")
_FEWEST_DIGITS = 7
"""Shorter numbers are never anybody's."""


class Redactor:
    """Replaces what its detectors find by ``[EMAIL_ADDRESS]`` and the like."""

    def __init__(
        self,
        tokenizer: Any = None,
        *,
        kinds: Iterable[str] | None = None,
        also: Mapping[str, str] | None = None,
        allow: Iterable[str] = (),
    ) -> None:
        """``tokenizer``: the one whose tokens trajectories hold; None for texts alone.

        ``kinds`` None is ``detectors.KINDS``; ``also``: further regular expressions by name; ``allow``: texts that are
        never redacted, in whatever case, such as a shop's own address.

        Raises:
            BadRedaction: an unknown kind, a pattern or a tokenizer that cannot be used.
            MissingLibrary: the detectors are not installed.
        """
        self._also = dict(also or {})
        self._allow = tuple(allow)
        self._detectors = Detectors(kinds, self._also, self._allow)
        self._tokens = None if tokenizer is None else TokenTexts(tokenizer)
        self._known: OrderedDict[bytes, tuple[Found, ...]] = OrderedDict()

    @property
    def reads_tokens(self) -> bool:
        """Was it given a tokenizer?"""
        return self._tokens is not None

    def to_dict(self) -> dict[str, Any]:
        """Its settings, JSON-safe: what decides about its results."""
        libraries = {name: version(name) for name in ("presidio-analyzer", "detect-secrets")}
        return {
            "kinds": list(self._detectors.kinds),
            "also": self._also,
            "allow": list(self._allow),
            "libraries": libraries,
        }

    def text(self, text: str) -> tuple[str, Counter[str]]:
        """``text`` without what was found, and how often what was."""
        return self._in_frame("", text, "")

    def value(self, value: Any) -> tuple[Any, Counter[str]]:
        """A JSON value, texts and numbers at any depth. The same objects come back where nothing was found.

        A text is read together with the name that it has, as in ``{"phone": "2125550123"}``. Names are redacted only
        if something is found in them, and numbered if two would then be the same.
        """
        counts: Counter[str] = Counter()
        return self._value(value, "", counts), counts

    def trajectory(self, trajectory: Trajectory) -> tuple[Trajectory, Counter[str]]:
        """Its tokens without those that hold a part of a find, and how many finds of each kind there were.

        A placeholder stands in their place, with those characters of the replaced tokens that belong to no find. It
        is ``given``; inside a turn it keeps the turn's message, so that a turn is a run of spans of one message. The
        rest of the turn keeps its ids, logprobs, message and version. A find that goes across spans leaves a
        placeholder in each. A proposal is read with the tokens in front of it, and its ``cut`` tells what is left.

        Raises:
            BadRedaction: there is no tokenizer, or it has no such tokens.
        """
        return TokenRedaction(self._token_texts(), self._find).of(trajectory)

    def wrote(self, tokens: Sequence[int], text: str) -> bool:
        """Do these tokens write ``text`` somewhere?

        Raises:
            BadRedaction: there is no tokenizer, or it has no such tokens.
        """
        return any(text in written.text for written in self._token_texts().split(tokens))

    def _token_texts(self) -> TokenTexts:
        if self._tokens is None:
            raise BadRedaction("tokens were to be redacted without a tokenizer; give Redactor the one that wrote them")
        return self._tokens

    def _value(self, value: Any, name: str, counts: Counter[str]) -> Any:
        if isinstance(value, dict):
            made: dict[Any, Any] = {}
            for key, held in value.items():
                made[self._key(key, made, counts)] = self._value(held, str(key), counts)
            same = all(key in value and held is value[key] for key, held in made.items())
            return value if same else made
        if isinstance(value, list | tuple):
            items = [self._value(item, name, counts) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if isinstance(value, str):
            if _BINARY.fullmatch(value):
                return value
            text, found = self._in_frame(f'"{name}": "', value, '"') if name else self.text(value)
        elif isinstance(value, int | float) and len(str(value)) >= _FEWEST_DIGITS:
            text, found = self._in_frame(f'"{name}": ' if name else "", str(value), "")
        else:
            return value
        counts.update(found)
        return text if found else value

    def _key(self, key: Any, taken: Mapping[Any, Any], counts: Counter[str]) -> Any:
        text, found = self.text(key) if isinstance(key, str) else (key, None)
        if not found:
            return key
        counts.update(found)
        number = 2
        unique = text
        while unique in taken:
            unique, number = f"{text} {number}", number + 1
        return unique

    def _in_frame(self, before: str, text: str, after: str) -> tuple[str, Counter[str]]:
        """``text`` redacted, read between ``before`` and ``after``."""
        low, high = len(before), len(before) + len(text)
        found = [
            Found(max(one.start, low) - low, min(one.end, high) - low, one.kind)
            for one in self._find(f"{before}{text}{after}")
            if one.start < high and one.end > low
        ]
        pieces: list[str] = []
        done = 0
        for start, end, kind in found:
            pieces += text[done:start], f"[{kind}]"
            done = end
        return "".join([*pieces, text[done:]]), Counter(one.kind for one in found)

    def _find(self, text: str) -> tuple[Found, ...]:
        key = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._detectors.find(text)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found
