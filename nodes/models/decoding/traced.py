"""A model's forward pass as one call that leaves Python alone, so that agents' threads run while it computes.

Small models spend most of a step between their operators, and every operator gives Python's lock away and
waits to get it back. A traced pass has neither cost. It is used only if tracing met nothing that depends on
data, and if it gives the scores of the plain pass for other shapes too; else the plain pass is used.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch.jit._trace import TracerWarning
from transformers.cache_utils import Cache, DynamicLayer

_SHAPES_ONLY = ("sdpa_attention.py", "torch/nn/functional.py")
"""Here shapes are asked for, which are fixed by what each trace is for: one new column, or several."""
_CANNOT = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)


class Traced:
    """The pass for one new column and the one for several, with the weights of one version."""

    def __init__(self, one: Any, several: Any, weights: Sequence[torch.Tensor]) -> None:
        self._one = one
        self._several = several
        self._weights = weights

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
        return run(ids, positions, columns, *masks, *buffers, *self._weights)


def trace(model: Any, kinds: Sequence[str], buffers: Sequence[torch.Tensor]) -> Traced | None:
    """``model`` traced, or None if it cannot be. Nobody else may use it meanwhile.

    ``kinds`` are the names of its masks, if it has several; ``buffers`` are such as it will be called with.
    Models of one architecture share one trace, which torch never lets go; weights are given to it at each call.
    """
    if model.device.type != "cpu":
        return None  # there, operators wait for the device and not for Python
    weights = [*model.named_parameters(), *model.named_buffers()]
    key = _architecture(model, weights)
    with _lock:
        if key not in _made:
            if len(_made) >= _MOST:
                return None
            _made[key] = _make(model, [tensor for _, tensor in weights], kinds, buffers)
        made = _made[key]
    return made and Traced(*made, [tensor for _, tensor in weights])


_MOST = 16
"""Architectures traced in one process."""
_made: "dict[str, tuple[Any, Any] | None]" = {}
_lock = Lock()


def _architecture(model: Any, weights: Sequence[tuple[str, torch.Tensor]]) -> str:
    """All that the trace may depend on."""
    config = {name: value for name, value in model.config.to_dict().items() if name != "_name_or_path"}
    shapes = [(name, str(tensor.dtype), *tensor.shape) for name, tensor in weights]
    attention = model.config._attn_implementation
    return json.dumps([type(model).__qualname__, attention, config, shapes], sort_keys=True, default=str)


def _make(
    model: Any, weights: Sequence[torch.Tensor], kinds: Sequence[str], buffers: Sequence[torch.Tensor]
) -> tuple[Any, Any] | None:
    step = _as_function(model, weights, kinds, len(buffers))

    def example(rows: int, new: int, length: int) -> tuple[torch.Tensor, ...]:
        return _example(model, max(len(kinds), 1), buffers, rows=rows, new=new, length=length)

    try:
        one, several = (_trace(step, (*example(2, new, 9), *weights)) for new in (1, 3))
        if one is None or several is None:
            return None
        for traced, rows, new, length in ((one, 1, 1, 5), (one, 3, 1, 12), (several, 1, 2, 7), (several, 3, 8, 12)):
            told, again = example(rows, new, length), example(rows, new, length)
            if not all(map(_close, (step(*told, *weights), *told), (traced(*again, *weights), *again))):
                return None
        for made in (one, several):  # what was traced, which torch notes there, holds the weights of this one version
            made._torchdynamo_inline = None
        return one, several
    except torch.OutOfMemoryError:
        raise
    except _CANNOT:
        return None


def _as_function(model: Any, own: Sequence[torch.Tensor], kinds: Sequence[str], buffers: int) -> Any:
    """The pass with weights as arguments, in the order of the model's ``own``."""

    def step(ids: torch.Tensor, positions: torch.Tensor, columns: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        count = max(len(kinds), 1)
        masks, rest = tensors[:count], tensors[count:]
        arguments = {
            "input_ids": ids,
            "attention_mask": dict(zip(kinds, masks, strict=True)) if kinds else masks[0],
            "position_ids": positions,
            "past_key_values": _Views(rest[:buffers], columns),
            "use_cache": True,
            "logits_to_keep": 1,
        }
        with _given(model, own, rest[buffers:]):
            return model(**arguments).logits[:, -1]

    return step


@contextmanager
def _given(model: Any, own: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> Iterator[None]:
    """Put ``weights`` into the places of the model's ``own``; torch's way to do that refuses to be traced."""
    given = {id(mine): other for mine, other in zip(own, weights, strict=True)}
    places = [
        (tensors, name, tensor)
        for module in model.modules()
        for tensors in (module._parameters, module._buffers)
        for name, tensor in tensors.items()
        if id(tensor) in given
    ]
    for tensors, name, tensor in places:
        tensors[name] = given[id(tensor)]
    try:
        yield
    finally:
        for tensors, name, tensor in places:
            tensors[name] = tensor


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


def _trace(step: Any, example: tuple[torch.Tensor, ...]) -> Any:
    """None if something on the way depends on more than shapes that are fixed."""
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        traced = torch.jit.trace(step, example, check_trace=False, strict=False)
    uncertain = [w for w in met if issubclass(w.category, TracerWarning)]
    return None if any(not w.filename.endswith(_SHAPES_ONLY) for w in uncertain) else traced


def _example(
    model: Any, masks: int, buffers: Sequence[torch.Tensor], *, rows: int, new: int, length: int
) -> tuple[torch.Tensor, ...]:
    """Arguments of a pass in which every row has ``length`` columns, ``new`` of them new."""
    vocabulary = model.config.get_text_config().vocab_size
    ids = (torch.arange(rows * new).view(rows, new) * 7 + length) % vocabulary
    columns = torch.arange(length - new, length)
    seen = torch.arange(length)[None, :] <= columns[:, None]
    mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill_(~seen, torch.finfo(model.dtype).min)
    wide = [mask.expand(rows, 1, new, length).contiguous() for _ in range(masks)]
    filled = [
        torch.sin(torch.arange(rows * t.shape[1] * length * t.shape[3], dtype=torch.float32))
        .view(rows, t.shape[1], length, t.shape[3])
        .to(t.dtype)
        for t in buffers
    ]
    return (ids, columns.repeat(rows, 1), columns, *wide, *filled)


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    wide = 1e-4 if a.dtype in (torch.float32, torch.int64) else 5e-2
    return torch.allclose(a.float(), b.float(), rtol=wide, atol=wide)
