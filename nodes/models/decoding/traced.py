"""A model's forward pass as one call that leaves Python alone, so that agents' threads run while it computes.

Small models spend most of a step between their operators, and every operator gives Python's lock away and
waits to get it back. A traced pass has neither cost. It is used only if tracing met nothing that depends on
data, and if it gives the scores of the plain pass for other shapes too; else the plain pass is used.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

_SHAPES_ONLY = "sdpa_attention.py"
"""Here transformers asks for shapes, which are fixed by what each trace is for: one new column, or several."""
_CANNOT = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)


class Traced:
    """The pass for one new column and the one for several."""

    def __init__(self, one: Any, several: Any) -> None:
        self._one = one
        self._several = several

    def __call__(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        masks: Sequence[torch.Tensor],
        columns: torch.Tensor,
        buffers: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Scores (rows, vocabulary) behind the last of ``ids``; keys and values are written into ``buffers``.

        ``ids`` and ``positions`` are (rows, new columns), ``columns`` says where these are in the buffers, and
        ``buffers`` are keys and values of each layer in turn, (rows, heads, columns, width).
        """
        run = self._one if ids.shape[1] == 1 else self._several
        return run(ids, positions, columns, *masks, *buffers)


def trace(model: Any, kinds: Sequence[str], buffers: Sequence[torch.Tensor]) -> Traced | None:
    """``model`` traced, or None if it cannot be. ``kinds`` are the names of its masks, if it has several;
    ``buffers`` are such as it will be called with, of at least three rows and twelve columns."""
    if model.device.type != "cpu":
        return None  # there, operators wait for the device and not for Python
    step = _Pass(model, tuple(kinds))
    try:
        one, several = (_trace(step, _example(model, kinds, buffers, rows=2, new=new, length=9)) for new in (1, 3))
        if one is None or several is None:
            return None
        for traced, rows, new, length in ((one, 1, 1, 5), (one, 3, 1, 12), (several, 1, 2, 7), (several, 3, 8, 12)):
            example = _example(model, kinds, buffers, rows=rows, new=new, length=length)
            again = tuple(tensor.clone() for tensor in example)
            if not all(map(_close, (step(*example), *example), (traced(*again), *again))):
                return None
        return Traced(one, several)
    except torch.OutOfMemoryError:
        raise
    except _CANNOT:
        return None


class _Pass(torch.nn.Module):
    def __init__(self, model: Any, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.kinds = kinds

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, columns: torch.Tensor, *tensors: torch.Tensor
    ) -> torch.Tensor:
        count = max(len(self.kinds), 1)
        masks, buffers = tensors[:count], tensors[count:]
        return self.model(
            input_ids=ids,
            attention_mask=dict(zip(self.kinds, masks, strict=True)) if self.kinds else masks[0],
            position_ids=positions,
            past_key_values=_Views(buffers, columns),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


class _Views(Cache):
    """Keys and values that are given from outside and written in place."""

    def __init__(self, buffers: Sequence[torch.Tensor], columns: torch.Tensor) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self._buffers = buffers
        self._columns = columns

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = self._buffers[2 * layer_idx], self._buffers[2 * layer_idx + 1]
        keys.index_copy_(2, self._columns, key_states)
        values.index_copy_(2, self._columns, value_states)
        return keys, values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0  # positions and masks are given


def _trace(step: _Pass, example: tuple[torch.Tensor, ...]) -> Any:
    """None if something on the way depends on more than shapes that are fixed."""
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        traced = torch.jit.trace(step, example, check_trace=False, strict=False)
    uncertain = [w for w in met if issubclass(w.category, torch.jit.TracerWarning)]
    return None if any(not w.filename.endswith(_SHAPES_ONLY) for w in uncertain) else traced


def _example(
    model: Any, kinds: Sequence[str], buffers: Sequence[torch.Tensor], *, rows: int, new: int, length: int
) -> tuple[torch.Tensor, ...]:
    """Arguments of a pass in which every row has ``length`` columns, ``new`` of them new."""
    vocabulary = model.config.get_text_config().vocab_size
    ids = (torch.arange(rows * new).view(rows, new) * 7 + length) % vocabulary
    columns = torch.arange(length - new, length)
    seen = torch.arange(length)[None, :] <= columns[:, None]
    mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill_(~seen, torch.finfo(model.dtype).min)
    masks = [mask.expand(rows, 1, new, length).contiguous() for _ in range(max(len(kinds), 1))]
    filled = [
        torch.sin(torch.arange(rows * t.shape[1] * length * t.shape[3], dtype=torch.float32))
        .view(rows, t.shape[1], length, t.shape[3])
        .to(t.dtype)
        for t in buffers
    ]
    return (ids, columns.repeat(rows, 1), columns, *masks, *filled)


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    wide = 1e-4 if a.dtype in (torch.float32, torch.int64) else 5e-2
    return torch.allclose(a.float(), b.float(), rtol=wide, atol=wide)
