"""Open versions of a model beside each other: full weights, or adapters merged beside the base they share.

A version that loads only reads what others use, so the one that answers is not disturbed.
"""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import torch

from ...errors import BadModelFolder
from .adapters import merge_adapter, share
from .folder import end_token_ids, find_line, read_tokenizer, read_weights, refuse_broken, weights_key
from .placement import choose_device, choose_dtype

TURN_S = 50e-6
"""How soon a loading thread hands Python over to one that decodes; Python's own 5 ms would stall each step."""

_loading = Lock()


@dataclass(frozen=True, slots=True)
class Base:
    """Full weights in a model that nobody runs and nobody changes: what adapters are merged beside."""

    key: str
    """Which files the weights came from."""
    model: Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that is open and can answer."""

    version: str
    source: str
    """The folder or hub name."""
    model: Any
    """In ``eval`` mode, without gradients."""
    tokenizer: Any
    end_ids: frozenset[int]
    """The tokens that end a turn, as far as model and tokenizer know; a chat template may have one more."""
    context: int
    """Tokens that prompt and answer may have together."""
    adapter: bool
    """True if the weights are an adapter's, merged beside its base."""
    base: Base | None = None
    """None if the model was made in memory."""
    tokenizer_digest: str = ""
    """Of the files that the tokenizer was read from."""


def open_version(
    version: str,
    source: str,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    beside: Loaded | None = None,
    base: str | None = None,
) -> Loaded:
    """Open a folder or hub name: full weights, or an adapter, which is merged.

    If the adapter's base is the one of ``beside``, every tensor that the adapter leaves alone is shared with it.
    Without ``device`` and ``dtype`` those of ``beside`` are used; without that, a GPU if there is one, and
    float32 on a CPU, the type of the files on a GPU. ``base`` says where the base is, if it is not where the
    adapter's config says. May be called from any thread, also while versions decode; one version loads at a time.

    Raises:
        BadModelFolder: something is missing, cannot be read, is damaged, or is no causal language model.
        BadAdapter: an adapter that cannot be merged, or whose base cannot be opened.
        BadModelSpec: a device or a type that is none.
        OutOfMemory: there is no room for the weights.
    """
    with _in_the_background():
        place = choose_device(beside.model.device if device is None and beside is not None else device)
        kind = choose_dtype(dtype) or (beside.model.dtype if beside is not None else None)
        line = find_line(source, base)
        adapters = line[:-1][::-1]
        known = (beside.tokenizer, beside.tokenizer_digest) if beside is not None else (None, "")
        tokenizer, digest = read_tokenizer(line, known)
        full = _the_same(beside, weights_key(line[-1]), place, kind)
        if full is None:
            weights = read_weights(line[-1], str(line[-1]) if adapters else source, place, kind)
            full = Base(weights_key(line[-1]), weights.requires_grad_(False))
        model = share(full.model)
        for folder in adapters:
            model = merge_adapter(model, folder)
        if adapters:
            shared = {tensor.data_ptr() for tensor in full.model.parameters()}
            own = ((name, tensor) for name, tensor in model.named_parameters() if tensor.data_ptr() not in shared)
            refuse_broken(own, source)
        return Loaded(
            version=version,
            source=source,
            model=model.eval(),
            tokenizer=tokenizer,
            end_ids=end_token_ids(model, tokenizer),
            context=context_of(model, tokenizer),
            adapter=bool(adapters),
            base=full,
            tokenizer_digest=digest,
        )


def hold(version: str, model: Any, tokenizer: Any) -> Loaded:
    """A version made of a model in memory, which is left as it is: the caller puts it into ``eval`` mode.

    Raises:
        BadModelFolder: nothing says how long its context is.
    """
    return Loaded(
        version=version,
        source=str(getattr(model, "name_or_path", "")),
        model=model,
        tokenizer=tokenizer,
        end_ids=end_token_ids(model, tokenizer),
        context=context_of(model, tokenizer),
        adapter=False,
    )


@cache
def warm_up() -> None:
    """Tell the garbage collector, once, to leave alone what is there by now; call it before anybody waits.

    The libraries make half a million objects. Loading makes the collector go through all of them now and then,
    and for that third of a second nobody decodes.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries complain about objects that outlive them


def context_of(model: Any, tokenizer: Any) -> int:
    """How many tokens the model reads: by its config, or the one of its text part, or else by its tokenizer.

    Raises:
        BadModelFolder: neither says.
    """
    config = model.config
    for part in (config, config.get_text_config(decoder=True)):
        for name in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length"):
            length = getattr(part, name, None)
            if isinstance(length, int) and length > 0:
                return length
    length = tokenizer.model_max_length
    if length is not None and 0 < length < 2**31:  # transformers writes 10**30 where it does not know
        return int(length)
    raise BadModelFolder(
        f"nothing says how many tokens the model {model.name_or_path!r} can read; "
        "write max_position_embeddings into its config.json, or model_max_length into its tokenizer_config.json"
    )


def _the_same(beside: Loaded | None, key: str, device: torch.device, dtype: torch.dtype | None) -> Base | None:
    base = beside.base if beside is not None else None
    if base is None or base.key != key or base.model.device != device:
        return None
    return base if dtype is None or base.model.dtype == dtype else None


@contextmanager
def _in_the_background() -> Iterator[None]:
    """Let threads that decode have Python whenever they want it, and load one version at a time.

    transformers and PEFT change settings of the whole process while they build a model, and put them back.
    """
    with _loading:
        before = sys.getswitchinterval()
        sys.setswitchinterval(min(TURN_S, before))
        try:
            yield
        finally:
            sys.setswitchinterval(before)
