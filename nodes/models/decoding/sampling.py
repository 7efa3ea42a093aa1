"""Draw the next token of every row and record its logprob.

The logprob is that over the full vocabulary at the row's temperature; what narrows the choice (a
grammar, top-k, top-p, min-p) works on a copy and never touches it.
"""

from collections.abc import Sequence
from math import isnan, log

import torch

from .request import Row, Sampling


def draw(rows: Sequence[Row], logits: torch.Tensor) -> None:
    """Sample one token for each row from ``logits`` (rows, vocabulary) by inverse transform sampling.

    A row whose constraint or listener fails is failed alone.
    """
    # dtypes are said everywhere: a thread that loads a model changes torch's default for all
    temperatures = torch.tensor([row.sampling.temperature or 1.0 for row in rows], dtype=torch.float32)
    logprobs = torch.log_softmax(logits.float() / temperatures.to(logits.device)[:, None], dim=-1)
    narrowed = [i for i, row in enumerate(rows) if row.constraint is not None or not row.sampling.plain]
    scores = logprobs.clone() if narrowed else logprobs
    for i in narrowed:
        _narrow(rows[i], scores[i])
    cumulative = scores.double().exp().cumsum(-1)
    draws = torch.tensor([row.random.random() for row in rows], dtype=torch.float64).to(logits.device)
    chosen = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True).squeeze(1)
    # The very end of the last step may be missed by rounding; the likeliest token is always allowed.
    likeliest = scores.argmax(-1)
    greedy = torch.tensor([row.sampling.temperature == 0 for row in rows], device=logits.device)
    chosen = torch.where(greedy | (chosen >= logits.shape[-1]), likeliest, chosen)
    picked = logprobs.gather(1, chosen[:, None]).squeeze(1)
    for row, token, logprob in zip(rows, chosen.tolist(), picked.tolist(), strict=True):
        try:
            if isnan(logprob):
                raise FloatingPointError(
                    "the model's scores are not numbers (nan): its weights are damaged, or too large for its dtype; "
                    "compare with float32"
                )
            row.take(token, logprob)
        except BaseException as error:
            row.fail(error)


def _narrow(row: Row, scores: torch.Tensor) -> None:
    try:
        if row.constraint is not None:
            row.constraint.mask_(scores, row.left)
            scores -= scores.logsumexp(-1)
    except BaseException as error:
        row.fail(error)
    if not row.sampling.plain:
        scores.masked_fill_(~_kept(scores, row.sampling), float("-inf"))


def _kept(scores: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Which tokens of one distribution (log probabilities over the vocabulary) may be drawn; never none."""
    kept = scores > float("-inf")
    if sampling.top_k:
        kept &= scores >= scores.topk(min(sampling.top_k, len(scores))).values[-1]
    if sampling.min_p > 0:
        kept &= scores >= scores.max() + log(sampling.min_p)
    if sampling.top_p < 1:
        ordered, places = scores.sort(descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        kept &= torch.zeros_like(kept).scatter_(0, places, before < sampling.top_p)
    return kept
