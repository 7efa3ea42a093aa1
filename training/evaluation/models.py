"""Which model goes to which slot: what ``--model`` says, read for the slots of a suite's agent."""

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import UnknownSlot
from ..slots import read_spec

_NAMED = re.compile(r"([^=/\\:@#,\s]+\.[^=/\\:@#,\s]+)=")


def read_models(text: str, slots: Sequence[str]) -> dict[str, str]:
    """Slot to SPEC; slots that are missing follow ``live``.

    ``slot=SPEC,slot2=SPEC`` names slots. A version or alias of one of ``slots`` goes there and nowhere else. Any
    other SPEC (a folder, an endpoint, a version of another agent's slot) goes to every slot.

    >>> read_models("desk.think@0002", ["desk.plan", "desk.think"])
    {'desk.think': 'desk.think@0002'}
    >>> read_models("seed", ["desk.plan", "desk.think"])
    {'desk.plan': 'seed', 'desk.think': 'seed'}
    >>> read_models("desk.plan=seed,desk.think=openai:gpt-5", ["desk.plan", "desk.think"])
    {'desk.plan': 'seed', 'desk.think': 'openai:gpt-5'}

    Raises:
        UnknownSlot: a slot is named that is not among ``slots``.
        BadModelSpec: a SPEC is none.
    """
    if _NAMED.match(text) and not Path(text).is_dir():
        models = {}
        for part in re.split(rf",(?={_NAMED.pattern.replace('(', '(?:', 1)})", text):
            slot, _, spec = part.partition("=")
            if slot not in slots:
                raise UnknownSlot(f"the agent has no slot {slot!r}; it has {', '.join(slots)}")
            read_spec(spec)
            models[slot] = spec
        return models
    slot = text.partition("@")[0]
    if read_spec(text).kind == "version" and slot in slots:
        return {slot: text}
    return dict.fromkeys(slots, text)
