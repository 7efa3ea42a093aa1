"""A generation's rows in optimiser steps, and each step in passes that fit into memory. Pure; tensors as TRL pads them:
prompts on the left, completions on the right."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]


def share_out(rows: int, steps: int, seed: int) -> list[list[int]]:
    """The numbers of ``rows`` rows, at random and about equally, for each of ``steps``."""
    import torch

    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return [part.tolist() for part in order.tensor_split(steps)]


def pack(lengths: list[tuple[int, int]], chosen: list[int], tokens_at_once: int) -> list[list[int]]:
    """``chosen`` rows in passes of at most ``tokens_at_once`` padded tokens, a longer row alone; short ones first.

    ``lengths`` are those of each row's prompt and completion.

    >>> pack([(2, 3), (1, 1), (2, 2)], [0, 1, 2], tokens_at_once=8)
    [[1, 2], [0]]
    """
    passes: list[list[int]] = []
    for place in sorted(chosen, key=lambda place: (sum(lengths[place]), place)):
        wider = [*passes[-1], place] if passes else []
        front, back = (max((lengths[one][side] for one in wider), default=0) for side in (0, 1))
        if wider and len(wider) * (front + back) <= tokens_at_once:
            passes[-1] = wider
        else:
            passes.append([place])
    return passes


def cut(batch: Batch, places: list[int]) -> Batch:
    """These rows of a padded batch, without the padding that only other rows need; numbers are left out."""
    front = int(batch["prompt_mask"][places].sum(1).max())
    back = int(batch["completion_mask"][places].sum(1).max())
    found: Batch = {}
    for name, tensor in batch.items():
        if not hasattr(tensor, "dim") or tensor.dim() == 0:
            continue
        rows = tensor[places]
        if name in ("prompt_ids", "prompt_mask"):
            rows = rows[:, rows.size(1) - front :]
        elif rows.dim() == 2:
            rows = rows[:, :back]
        found[name] = rows
    return found


def lengths_of(batch: Batch) -> list[tuple[int, int]]:
    """Tokens of each row's prompt and completion."""
    return list(zip(batch["prompt_mask"].sum(1).tolist(), batch["completion_mask"].sum(1).tolist(), strict=True))
