"""How far the policy has moved away from the one that sampled: importance ratios over the tokens of a step.

The ratio of a token is r = π(token) / μ(token), with π the weights in training and μ those that sampled it, both over
the full vocabulary at the sampling temperature. Imports torch when it is used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass
class Ratios:
    """Sums over the tokens seen so far."""

    tokens: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    divergence: float = 0.0
    clipped: int = 0

    def add(self, now: "torch.Tensor", then: "torch.Tensor", mask: "torch.Tensor", clipped: "torch.Tensor") -> None:
        """Log-probabilities now and while sampling, of the tokens that ``mask`` marks; all (rows, tokens)."""
        held = mask.bool()
        logs = (now - then)[held].double()
        if not logs.numel():
            return
        ratios = logs.exp()
        self.tokens += logs.numel()
        self.total += float(ratios.sum())
        self.squares += float((ratios**2).sum())
        self.largest = max(self.largest, float(ratios.max()))
        self.divergence += float((ratios - 1 - logs).sum())
        self.clipped += int(clipped[held].sum())

    def summary(self) -> dict[str, float]:
        """The figures; all are what they are for equal policies where there were no tokens.

        ``kl`` estimates KL(μ‖π) by the mean of r - 1 - log r (Schulman's k3); ``effective`` is the effective sample
        size as a share of the tokens, (Σr)² / (n Σr²).
        """
        if not self.tokens:
            return {"mean": 1.0, "max": 1.0, "clipped": 0.0, "kl": 0.0, "effective": 1.0}
        return {
            "mean": self.total / self.tokens,
            "max": self.largest,
            "clipped": self.clipped / self.tokens,
            "kl": self.divergence / self.tokens,
            "effective": self.total**2 / (self.tokens * self.squares),
        }


def joined(parts: Iterable[Ratios]) -> Ratios:
    """The figures of several processes as one's."""
    whole = Ratios()
    for part in parts:
        whole.tokens += part.tokens
        whole.total += part.total
        whole.squares += part.squares
        whole.largest = max(whole.largest, part.largest)
        whole.divergence += part.divergence
        whole.clipped += part.clipped
    return whole
