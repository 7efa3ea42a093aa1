"""What one answer must keep to: tokens that a grammar forbids get no score, and it ends before the tokens do."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import CannotConstrain
from .closing import Closer
from .vocabulary import Vocabulary

_LOOKED_AT = 16
"""Tokens, the likeliest, that may still be sampled where room gets short."""
_SEARCHES, _WORTH_A_SEARCH = 4, 0.05
"""For how many of these a new way to the end is looked for, and how likely they must be."""
_FEW = 256
"""No more than so many words of the bits are set: these are gone through one by one."""
_SMALL = 8192
"""Vocabularies up to this size are masked as fast as a few tokens are picked out."""
_NEVER = float("-inf")


@dataclass(frozen=True)
class Grammar:
    """A compiled grammar, and what every answer under it shares."""

    compiled: Any
    bytewise: Any
    """The same for a vocabulary of the 256 bytes."""
    vocabulary: Vocabulary
    hints: tuple[bytes, ...]
    """Texts that lead to an end."""
    least: bytes | None
    """A shortest answer; None if none was found."""
    shortest: int
    """Its tokens, with the one that ends the turn."""
    reach: int
    """By how many tokens one token can put off the end: it may open what must be whole once it is opened."""
    notes: tuple[str, ...]


class Constraint:
    """A grammar that one answer follows. Used by one thread at a time."""

    def __init__(self, grammar: Grammar, new_matcher: Any) -> None:
        """``new_matcher`` makes a matcher of a compiled grammar."""
        self.grammar = grammar
        self.notes = grammar.notes
        self._new_matcher = new_matcher
        self._matcher = new_matcher(grammar.compiled)
        self._bits = torch.full((1, -(-len(grammar.vocabulary.texts) // 32)), -1, dtype=torch.int32)
        self._closer: Closer | None = None
        self._unfed: list[int] = []
        """Tokens that the closer has not seen."""
        self._look_at: int | None = None
        """How many tokens are left when the end must be looked at again."""

    @property
    def shortest(self) -> int:
        """Tokens of a shortest answer, with the one that ends the turn."""
        return self.grammar.shortest

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        """Set what may not come next to -inf, in place; ``left`` tokens may still be sampled, this one among them.

        Raises:
            CannotConstrain: not even the shortest answer has room.
        """
        if self._look_at is None:
            self._check_room(left)
            self._look_at = left
        self._matcher.fill_next_token_bitmask(self._bits)
        short = left <= self._look_at
        few = few_of(self._bits[0], len(scores)) if short or len(scores) > _SMALL else None
        if short:
            few = self._with_room(scores, few, left)
        if few is None:
            forbid_(scores, self._bits[0])
        else:
            keep_(scores, few)

    def accept(self, token: int) -> None:
        """Go on behind ``token``, which was sampled under the mask."""
        if not self._matcher.accept_token(token):
            raise RuntimeError(f"token {token} does not follow the grammar")
        self._unfed.append(token)

    def _check_room(self, left: int) -> None:
        if self.shortest > left:
            raise CannotConstrain(
                f"the shortest answer that fits takes {self.shortest} tokens, and {left} are left; raise "
                "max_new_tokens, or shorten the prompt"
            )

    def _with_room(self, scores: torch.Tensor, few: np.ndarray | None, left: int) -> np.ndarray | None:
        """Of the allowed tokens those behind which the end fits into what is left, if room is short at all.

        ``few`` are the allowed tokens if they are few, else None; so is the answer.
        """
        vocabulary = self.grammar.vocabulary
        if self._closer is None:
            self._closer = Closer(self._new_matcher(self.grammar.bytewise), self.grammar.hints, self.grammar.least)
        self._closer.feed(b"".join(vocabulary.texts[token] for token in self._unfed))
        self._unfed.clear()
        end = self._closer.end()
        if end is None:
            self._look_at = left - 1  # no way was found from here; perhaps from the next place
            return few
        way = vocabulary.spell(end)
        spare = left - len(way) - 1
        if spare > self.grammar.reach:
            self._look_at = left - max(1, (spare - self.grammar.reach) // 8)
            return few
        self._look_at = left
        sure = way[:1] or tuple(vocabulary.end_ids)
        return np.array([*sure, *(self._fitting(self._closer, scores, few, left) if spare > 0 else ())])

    def _fitting(self, closer: Closer, scores: torch.Tensor, few: np.ndarray | None, left: int) -> list[int]:
        """The likeliest of the allowed tokens behind which a way to the end is known that fits."""
        if few is None:
            scores = scores.clone()
            forbid_(scores, self._bits[0])
            likely, ids = scores.softmax(-1).topk(min(_LOOKED_AT, len(scores)))
        else:
            among = torch.from_numpy(few).to(scores.device)
            likely, order = scores[among].softmax(-1).topk(min(_LOOKED_AT, len(few)))
            ids = among[order]
        kept: list[int] = []
        searches = 0
        for token, chance in zip(ids.tolist(), likely.tolist(), strict=True):
            text = self.grammar.vocabulary.texts[token]
            if token in self.grammar.vocabulary.end_ids:
                kept.append(token)
                continue
            worth = searches < _SEARCHES and chance > _WORTH_A_SEARCH
            end, searched = closer.end_after(text, search=worth)
            searches += searched
            if chance and end is not None and len(self.grammar.vocabulary.spell(end)) + 2 <= left:
                kept.append(token)
        return kept


def few_of(bits: torch.Tensor, size: int) -> np.ndarray | None:
    """The tokens below ``size`` whose bits are set, if they are few."""
    words = bits.numpy()
    places = np.flatnonzero(words)
    if len(places) > _FEW:
        return None
    rows, columns = np.nonzero(np.unpackbits(words[places, None].view(np.uint8), axis=1, bitorder="little"))
    tokens = places[rows] * 32 + columns
    return tokens[tokens < size]


def keep_(scores: torch.Tensor, tokens: np.ndarray) -> None:
    """Set all scores but those of ``tokens`` to -inf, in place."""
    ids = torch.from_numpy(tokens).to(scores.device)
    kept = scores[ids]
    scores.fill_(_NEVER)
    scores[ids] = kept


def forbid_(scores: torch.Tensor, bits: torch.Tensor) -> None:
    """Set the scores whose bit is not set to -inf, in place."""
    if scores.device.type == "cpu" and scores.dtype != torch.float64:
        from xgrammar import apply_token_bitmask_inplace

        apply_token_bitmask_inplace(scores, bits, vocab_size=len(scores))
        return
    eight = bits.view(torch.uint8).to(scores.device, non_blocking=True).unsqueeze(-1)
    places = torch.arange(8, dtype=torch.uint8, device=scores.device)
    scores.masked_fill_(((eight >> places) & 1).flatten()[: len(scores)] == 0, _NEVER)
