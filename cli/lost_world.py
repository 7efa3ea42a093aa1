"""Threads of the helpdesk whose shop is gone: nothing can be run on them, for their tools would find nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..checkpoints.store import Store


def refuse_lost_world(store: "Store", thread: str) -> None:
    """Nothing, unless ``thread`` worked on a shop that was removed since.

    Raises:
        CannotTravel: with what can be done instead.
    """
    from ..checkpoints.reading import latest_metadata
    from ..checkpoints.threads import agent_of
    from ..errors import CannotTravel, UnknownThread
    from .agents import AGENTS

    try:
        metadata = latest_metadata(store, thread)
    except UnknownThread:
        return
    world = str(metadata.get("world", ""))
    if agent_of(metadata) in AGENTS and world and not Path(world).exists():
        raise CannotTravel(
            f"thread {thread!r} worked on the shop {world}, which is not there (from {Path.cwd()}): a rollout removes "
            "it once the episode is judged, and what the tools changed cannot be brought back; look with "
            f"`threadmill threads replay {thread} --at CP --recorded`, run on in shops made anew with "
            f"`threadmill credit fork {thread}`, or begin another thread with `threadmill run`"
        )
