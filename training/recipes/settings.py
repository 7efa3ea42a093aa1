"""The settings that all recipes share: how weights are trained (``Lora``), and how a run is run (``Run``)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

TOKENS_AT_ONCE = 32_768
"""Padded tokens of one forward pass. Quickstart's rows stay far below; sixteen rows of 10,000 tokens need 30 GB."""

Tracker = Literal["tensorboard", "trackio"]


@dataclass(frozen=True)
class Lora:
    """Train a low-rank adapter (Hu et al. 2021) in place of the weights; rank 0 trains all weights."""

    rank: Annotated[int, "Rank of the adapter; 0 trains all weights.", Ge(0)] = 0
    alpha: Annotated[float | None, "The adapter is scaled by alpha / rank; none is twice the rank.", Gt(0)] = None
    targets: Annotated[str, "Which layers get an adapter: all-linear, or names with commas between."] = "all-linear"
    dropout: Annotated[float, "Dropout before the adapter.", Ge(0), Le(0.99)] = 0.0
    dora: Annotated[bool, "Learn magnitudes apart from directions (DoRA): slower, sometimes better."] = False
    merge: Annotated[bool, "Save complete weights with the adapter folded in, in place of the adapter alone."] = False


@dataclass(frozen=True)
class Run:
    """What a run may take, what it saves, and where it can be watched; none of it changes what is learnt."""

    max_minutes: Annotated[float | None, "Stop after so many minutes and keep what was learnt.", Gt(0)] = None
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], "What layers compute in; auto: bfloat16 on a GPU, float32 on a CPU."
    ] = "auto"
    gradient_checkpointing: Annotated[bool, "Compute activations twice and keep few: less memory, slower."] = False
    liger: Annotated[bool, "Liger's fused kernels: faster, less memory; needs a GPU and threadmill[liger]."] = False
    save_every: Annotated[int, "Steps between checkpoints that a killed run goes on from; 0 saves none.", Ge(0)] = 50
    track: Annotated[tuple[Tracker, ...], "Log to tensorboard or trackio, in a folder beside OUT."] = ()
    tokens_at_once: Annotated[int, "Padded tokens of one forward pass; lower it if memory runs out.", Ge(1)] = (
        TOKENS_AT_ONCE
    )
