"""How likely a candidate finds what was drawn: recorded tokens read in one pass, nothing generated; imports torch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .recorded import Reading

LOGITS_AT_ONCE = 1 << 27
"""Numbers that one pass may put out: half a gigabyte in float32."""


@torch.inference_mode()
def score_readings(
    model: Any,
    readings: Sequence[Reading],
    *,
    tokens_at_once: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """Of each reading, log π of its decisions at the temperatures that they were drawn with, in their order.

    Long and short readings are read apart, padded on the right, at most ``tokens_at_once`` in a pass if they are not
    longer by themselves.
    """
    found: list[list[float]] = [[]] * len(readings)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    room = min(tokens_at_once, LOGITS_AT_ONCE // vocabulary)
    order = sorted(range(len(readings)), key=lambda place: -len(readings[place].ids))
    done = 0
    while done < len(order):
        part = order[done : done + max(1, room // len(readings[order[done]].ids))]
        for place, values in zip(part, _score(model, [readings[place] for place in part]), strict=True):
            found[place] = values
        done += len(part)
        if progress is not None:
            progress(done, len(order))
    return found


def _score(model: Any, readings: Sequence[Reading]) -> list[list[float]]:
    lengths = torch.tensor([len(reading.ids) for reading in readings])
    ids = torch.zeros(len(readings), int(lengths.max()), dtype=torch.long)
    for row, reading in enumerate(readings):
        ids[row, : len(reading.ids)] = torch.tensor(reading.ids)
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    ids = ids.to(model.device)
    logits = model(input_ids=ids, attention_mask=mask.to(model.device), use_cache=False).logits
    return [
        [
            _logprob(logits[row, one.start - 1 : one.end - 1], ids[row, one.start : one.end], one.temperature)
            for one in reading.decisions
        ]
        for row, reading in enumerate(readings)
    ]


def _logprob(logits: torch.Tensor, drawn: torch.Tensor, temperature: float) -> float:
    scores = (logits.float() / temperature).log_softmax(-1)
    return float(scores.gather(1, drawn[:, None]).double().sum())
