"""What to say when memory runs out while training: the settings that would need less, with their values now."""

from pathlib import Path
from typing import Any

from .bad_batch import origins_in

_PHRASES = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device, or the machine, has no room."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def what_to_lower(config: Any, *, at_once: int) -> str:
    """Advice for a run of ``config`` that reads ``at_once`` rows a pass."""
    run, lora = config.run, config.lora
    longest = _longest(config.data) if hasattr(config, "data") else None
    length = f" of up to {longest:,} tokens" if longest else ""
    found = []
    if at_once > 1:
        found.append(f"a lower --tokens-at-once (now {run.tokens_at_once:,}: {at_once} rows{length} a pass)")
    if not run.gradient_checkpointing:
        found.append("--gradient-checkpointing (now off)")
    if not lora.rank:
        found.append("an adapter in place of all weights (--lora-rank 16)")
    elif lora.rank > 8:
        found.append(f"a smaller adapter (--lora-rank, now {lora.rank})")
    if longest:
        found.append(f"shorter rows (the longest has {longest:,} tokens; threadmill export … --max-length)")
    if run.precision == "float32":
        found.append("--precision bfloat16 (now float32)")
    if getattr(config, "group_size", 0) > 2:
        found.append(f"smaller groups (--group-size, now {config.group_size})")
    return "; ".join([*found, "a smaller base"])


def _longest(data: Path) -> int:
    """Tokens of the longest thing that a model reads of the data set in ``data``."""
    return max(map(len, origins_in(data)), default=0)
