"""What can be wrong between the rows of a group: trials of one task that GRPO compares with each other."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any

from .excerpt import token_excerpt
from .finding import Finding
from .sequences import Tokens
from .texts import TokenTexts


class GroupCheck:
    """Remembers with which prompt each group began."""

    def __init__(self, texts: TokenTexts | None) -> None:
        self._texts = texts
        self._prompts: dict[str, tuple[bytes, int]] = {}

    def findings(self, number: int, row: Mapping[str, Any], sequences: Sequence[Tokens]) -> Iterator[Finding]:
        """What is wrong with a row as part of its group; nothing if it has none."""
        if "group" not in row or not sequences:
            return
        reward = row.get("reward")
        if not isinstance(reward, int | float) or not isfinite(reward):
            what = f"its reward is {reward!r}, and advantages need a number"
            yield Finding("bad-reward", "error", what, "give every trial a reward, or leave it out")
        if row.get("part"):  # behind a trim, a trial has its own past
            return
        tokens = sequences[0]
        first = tokens.trained.index(True) if any(tokens.trained) else len(tokens.ids)
        digest = blake2b(repr(tokens.ids[:first]).encode(), digest_size=8).digest()
        known, other = self._prompts.setdefault(str(row["group"]), (digest, number))
        if known != digest:
            what = f"row {other} of the same group answers another prompt: their rewards cannot be compared"
            excerpt = token_excerpt(tokens.ids, tokens.trained, max(0, first - 1), first, self._texts)
            yield Finding("prefix-differs", "error", what, "make a group of each prompt", excerpt)
