"""The end of an answer when tokens run short: a short way from where a grammar is to its end.

The way is looked for on a copy of the grammar whose tokens are the 256 bytes, so that one can see what may come
next. It is nearly the shortest: closing what is open comes first, then the shortest values known, then letters.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_LIKELY = b'"0a1A}],: -._5z/@<\n'
"""Bytes to try first where nothing is known; the rest in their order."""
_WIDE = 90
"""More bytes than that may come next: within a text, where most of them change nothing."""
_TRIED, _WIDTH = 24, 12
_FARTHEST, _DEEPEST = 4096, 80
_LONG_HINTS, _REMEMBERED = 24, 512


class Closer:
    """Knows how one answer can end. Fed with the bytes of what was sampled."""

    def __init__(self, matcher: Any, hints: Sequence[bytes], end: bytes | None = None) -> None:
        """``hints`` are texts that lead to an end, the best first; ``end`` is the end that is known already."""
        self._matcher = matcher
        self._hints = hints
        self._end = end
        self._long_hints = [hint for hint in hints if len(hint) > 4][:_LONG_HINTS]
        self._said = b""
        """The last of what was fed."""
        self._row = np.zeros((1, 9), dtype=np.int32)

    def feed(self, said: bytes) -> None:
        """Go on behind ``said``."""
        if said and not self._matcher.accept_string(said):
            raise ValueError(f"{said!r} does not follow the grammar")
        self._said = (self._said + said)[-_REMEMBERED:]
        if self._matcher.is_completed():
            self._end = b""
        elif self._end is not None:
            self._end = self._end[len(said) :] if self._end.startswith(said) else self._kept(self._end)

    def end(self) -> bytes | None:
        """What leads to the end from here; None if nothing was found."""
        if self._end is None:
            self._end = self._found()
        return self._end

    def end_after(self, said: bytes, *, search: bool) -> tuple[bytes | None, bool]:
        """What leads to the end behind ``said``, None if that is not known, and whether it was searched for."""
        known = self.end()
        if known is not None and known.startswith(said):
            return known[len(said) :], False
        if not self._matcher.accept_string(said):
            return None, False
        end = None if known is None else self._kept(known)
        searched = end is None and search
        if searched:
            end = self._found(said)
        self._matcher.rollback(1)
        return end, searched

    def _kept(self, end: bytes) -> bytes | None:
        """``end`` if it still leads to the end."""
        if not end:
            return end if self._matcher.is_completed() else None
        if not self._matcher.accept_string(end):
            return None
        completed = self._matcher.is_completed()
        self._matcher.rollback(1)
        return end if completed else None

    def _found(self, more: bytes = b"") -> bytes | None:
        """A way to the end behind ``more``, which the matcher has seen and nobody fed."""
        found, steps = b"", 0
        while not (done := self._matcher.is_completed()) and len(found) < _FARTHEST:
            step = self._step(self._said + more + found)
            if not step:
                break
            self._matcher.accept_string(step)
            found += step
            steps += 1
        self._matcher.rollback(steps)
        return found if done else None

    def _step(self, said: bytes) -> bytes:
        """A piece of the way."""
        before = self._next()
        wide = _is_wide(before)
        sure = () if wide else (b"}", b"]", b",", b":")
        for piece in (*sure, *self._rests(said), *((b'"',) if wide else ()), *self._hints, b'"'):
            if before[piece[0]] and self._leads_on(piece, None if piece in sure else before):
                return piece
        return bytes([int(before.argmax())]) if before.sum() == 1 else self._detour()

    def _rests(self, said: bytes) -> list[bytes]:
        """Of the long hints that have been begun, what is missing; the one that has come farthest is first."""
        rests = []
        for hint in self._long_hints:
            tail = said[1 - len(hint) :]
            at = tail.find(hint[0])
            while at >= 0 and not hint.startswith(tail[at:]):
                at = tail.find(hint[0], at + 1)
            if at >= 0:
                begun = len(tail) - at
                rests.append((-begun, len(hint), hint[begun:]))
        return [rest for _, _, rest in sorted(rests)]

    def _leads_on(self, piece: bytes, before: np.ndarray | None) -> bool:
        """Whether ``piece`` may follow and, where ``before`` says what might have, changes that."""
        if not self._matcher.accept_string(piece):
            return False
        changes = before is None or self._matcher.is_completed() or not np.array_equal(before, self._next())
        self._matcher.rollback(1)
        return changes

    def _detour(self) -> bytes:
        """The shortest letters behind which something closes, one way for each set of letters that may follow."""
        level: list[bytes] = [b""]
        for _ in range(_DEEPEST):
            following: dict[bytes, bytes] = {}
            for way in level:
                if way:
                    self._matcher.accept_string(way)
                allowed = self._next()
                for byte in self._tries(allowed):
                    piece = bytes([byte])
                    if not self._matcher.accept_string(piece):
                        continue
                    after = self._next()
                    goal = self._matcher.is_completed() or _is_near(allowed, after) or self._has_hint(after)
                    self._matcher.rollback(1)
                    if goal:
                        if way:
                            self._matcher.rollback(1)
                        return way + piece
                    following.setdefault(after.tobytes(), way + piece)
                if way:
                    self._matcher.rollback(1)
            level = list(following.values())[:_WIDTH]
            if not level:
                break
        return b""

    def _has_hint(self, allowed: np.ndarray) -> bool:
        """Whether a hint leads on from a place where not everything may follow."""
        return not _is_wide(allowed) and any(
            allowed[hint[0]] and self._leads_on(hint, None) for hint in self._long_hints
        )

    def _tries(self, allowed: np.ndarray) -> list[int]:
        others = [byte for byte in np.flatnonzero(allowed).tolist() if byte not in _LIKELY]
        return [*(byte for byte in _LIKELY if allowed[byte]), *others][:_TRIED]

    def _next(self) -> np.ndarray:
        """Which of the 256 bytes may come next."""
        self._matcher.fill_next_token_bitmask(self._row)
        return np.unpackbits(self._row[0].view(np.uint8), bitorder="little")[:256].copy()


def _is_wide(allowed: np.ndarray) -> bool:
    return int(allowed.sum()) > _WIDE


def _is_near(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether something closes now, or a character that was begun is whole."""
    if _is_wide(after):
        return not _is_wide(before)
    return not np.array_equal(before, after) and any(after[byte] for byte in b'}],"')
