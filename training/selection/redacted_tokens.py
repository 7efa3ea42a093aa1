"""The tokens of a trajectory without those that hold a part of what was found in their text.

Pure. The text is read across spans, but never across special tokens.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain

from ..trajectory import Proposal, Span, Trajectory
from .detectors import Found
from .token_texts import TokenTexts, Written

Place = tuple[int, int, str]
"""Bytes ``[start, end)`` between two special tokens, and what they are."""


@dataclass
class _Text:
    """Tokens between two special ones, and what was found in them."""

    written: Written
    places: list[Place]

    @property
    def start(self) -> int:
        return self.written.start


@dataclass(frozen=True)
class TokenRedaction:
    """Redacts the tokens of one tokenizer; ``find`` tells what a text holds."""

    texts: TokenTexts
    find: Callable[[str], Sequence[Found]]

    def of(self, trajectory: Trajectory) -> tuple[Trajectory, Counter[str]]:
        """See ``Redactor.trajectory``."""
        counts: Counter[str] = Counter()
        ids = trajectory.ids()
        starts = list(accumulate((len(span.tokens) for span in trajectory.spans), initial=0))
        texts = self._read(ids)
        proposals = [self._proposal(one, ids[: starts[one.at]], texts, counts) for one in trajectory.proposals]
        for text in texts:
            text.places = _merged(text.places)
            counts.update(kind for _, _, kind in text.places)
        texts = [text for text in texts if text.places]
        pieces = [self._pieces(span, at, texts) for span, at in zip(trajectory.spans, starts, strict=False)]
        before = list(accumulate(map(len, pieces), initial=0))
        moved = (replace(one, at=before[one.at]) for one in proposals)
        return Trajectory(tuple(chain.from_iterable(pieces)), tuple(moved)), counts

    def _read(self, ids: Sequence[int]) -> list[_Text]:
        return [_Text(written, self._places(written)) for written in self.texts.split(ids)]

    def _places(self, written: Written) -> list[Place]:
        found = self.find(written.text)
        return [(written.byte_at[start], written.byte_at[end], kind) for start, end, kind in found]

    def _proposal(
        self, proposal: Proposal, before: Sequence[int], texts: Sequence[_Text], counts: Counter[str]
    ) -> Proposal:
        """``proposal`` redacted; what it shows to be a find in front of it is added to ``texts``."""
        tail = self.texts.tail(before)
        offset = len(before) - tail
        own = self._read([*before[offset:], *proposal.span.tokens])
        front = own[0].written.token_at[tail] if tail else 0  # so many bytes of the first text are not the proposal's
        for text in own:
            counts.update(kind for start, _, kind in text.places if text.start or start >= front)
        if front:
            shared = next(text for text in texts if text.start == offset)
            shared.places += [(start, min(end, front), kind) for start, end, kind in own[0].places if start < front]
        cut = self._pieces(proposal.span, tail, own)
        if all(piece.origin != "given" for piece in cut):
            return proposal
        whole = Span("given", tuple(chain.from_iterable(piece.tokens for piece in cut)), message=proposal.span.message)
        return replace(proposal, span=whole, cut=cut)

    def _pieces(self, span: Span, start: int, texts: Sequence[_Text]) -> tuple[Span, ...]:
        """``span``, which begins at token ``start``, cut where something in it is replaced; given ones stay whole."""
        pieces: list[Span] = []
        done = 0
        for low, high, text in _replacements(start, start + len(span.tokens), texts):
            pieces.append(_part(span, done, low - start))
            pieces.append(Span("given", self.texts.encode(text), message=span.message))
            done = high - start
        if not pieces:
            return (span,)
        pieces.append(_part(span, done, len(span.tokens)))
        if span.origin == "given":
            return (replace(span, tokens=tuple(chain.from_iterable(piece.tokens for piece in pieces))),)
        return tuple(piece for piece in pieces if piece.tokens)


def _replacements(start: int, end: int, texts: Sequence[_Text]) -> Iterator[tuple[int, int, str]]:
    """The runs of tokens within ``[start, end)`` that hold finds, and the text to put there, in order."""
    at = max(0, bisect_right(texts, start, key=lambda text: text.start) - 1)
    for text in texts[at:]:
        if text.start >= end:
            break
        written = text.written
        first, last = max(start - text.start, 0), min(end - text.start, len(written.pieces))
        if first >= last:
            continue
        low_byte, high_byte = written.token_at[first], written.token_at[last]
        runs: list[tuple[int, int, list[Place]]] = []
        for low, high, kind in text.places:
            place = max(low, low_byte), min(high, high_byte), kind
            if place[0] >= place[1]:
                continue
            low, high = written.tokens_of(place[0], place[1])
            if runs and low < runs[-1][1]:  # one token holds the end of one find and the beginning of the next
                begun, _, held = runs.pop()
                runs.append((begun, high, [*held, place]))
            else:
                runs.append((low, high, [place]))
        for low, high, held in runs:
            yield text.start + low, text.start + high, _without(written, low, high, held)


def _part(span: Span, start: int, end: int) -> Span:
    return replace(span, tokens=span.tokens[start:end], logprobs=span.logprobs[start:end])


def _without(written: Written, low: int, high: int, places: Sequence[Place]) -> str:
    """What the tokens ``[low, high)`` write, placeholders instead of ``places``; half characters are dropped."""
    pieces: list[bytes] = []
    done = written.token_at[low]
    for start, end, kind in places:
        pieces += written.data[done:start], f"[{kind}]".encode()
        done = end
    return b"".join([*pieces, written.data[done : written.token_at[high]]]).decode(errors="ignore")


def _merged(places: Iterable[Place]) -> list[Place]:
    """In order, those that overlap made one, of the kind of the first."""
    merged: list[Place] = []
    for start, end, kind in sorted(places):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((start, end, kind))
    return merged
