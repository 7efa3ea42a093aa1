"""Try whether a model's rows can be decoded in common columns, by comparing with a plain forward pass."""

from typing import Any

import numpy as np
import torch

from .batch import Batch
from .request import Row, Sampling
from .traced import Traced, trace

_CANNOT = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)


@torch.inference_mode()
def shares_columns(model: Any) -> bool:
    """Whether two rows of unequal length, joined and stepped, get the logprobs of plain forward passes.

    Recurrent layers and chunked attention are ruled out by name: two short rows would not show them.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"} or getattr(model, "_is_stateful", False):
        return False
    rows = [
        Row(np.arange(length) % config.vocab_size, 3, Sampling(temperature=0.0), np.random.default_rng(0), frozenset())
        for length in (7, 5)
    ]
    try:
        batch = Batch(model, 2, kept_bytes=0)
        batch.join(rows)
        batch.step()
        batch.step()
        return all(_agrees(model, row) for row in rows)
    except torch.OutOfMemoryError:
        raise
    except _CANNOT:
        return False


@torch.inference_mode()
def trace_columns(model: Any) -> Traced | None:
    """The forward pass of a model that shares columns, traced; None if that cannot be."""
    batch = Batch(model, 1, kept_bytes=0)
    batch.join([Row(np.arange(3), 2, Sampling(temperature=0.0), np.random.default_rng(0), frozenset())])
    return trace(model, batch.kinds, [tensor for pair in batch.columns.buffers for tensor in pair])


def _agrees(model: Any, row: Row) -> bool:
    ids = torch.tensor([[*row.prompt.tolist(), *row.ids]], device=model.device)
    scores = torch.log_softmax(model(input_ids=ids).logits[0, len(row.prompt) - 1 : -1].float(), -1)
    plain = scores.gather(1, ids[0, len(row.prompt) :, None])[:, 0].cpu()
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.25
    return bool((plain - torch.tensor(row.logprobs, dtype=torch.float32)).abs().max() < tolerance)
