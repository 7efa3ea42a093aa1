"""Several processes that train one model (torchrun, accelerate): how many there are, and which one this is.

Read from the variables that the launchers set, so that it is known before torch is imported.
"""

from os import environ


def process_count() -> int:
    """How many processes train together; 1 if nothing launched several."""
    return int(environ.get("WORLD_SIZE", "1"))


def process_number() -> int:
    """Which of them this is, from 0."""
    return int(environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Whether this process writes and prints; the others only compute."""
    return process_number() == 0


def local_rank() -> int:
    """The number of this process on its machine, and of its GPU."""
    return int(environ.get("LOCAL_RANK", "0"))


def or_anywhere(asked: bool) -> bool:
    """Whether ``asked`` is true in any process; all wait for each other here."""
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        return asked
    device = f"cuda:{local_rank()}" if distributed.get_backend() == "nccl" else "cpu"
    told = torch.tensor(float(asked), device=device)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return bool(told.item())
