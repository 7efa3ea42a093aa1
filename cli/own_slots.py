"""The slots of one's own agents: which model answers in each, by what the command, the agent and the registry say."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import BadModelSpec, UnknownSlot, UnknownVersion

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..nodes.models.slot import Slot

_FOR_ONE = re.compile(r"([A-Za-z_][\w.-]*)=(.+)", re.DOTALL)


def read_models(given: str | Sequence[str] | None) -> dict[str, str]:
    """Node or slot to model SPEC, out of ``--model SPEC`` and ``--model plan=SPEC``; one for all stands under ``""``.

    >>> read_models(["openai:gpt-5", "plan=helpdesk.plan@0003"])
    {'': 'openai:gpt-5', 'plan': 'helpdesk.plan@0003'}

    Raises:
        BadModelSpec: one slot has two models.
    """
    models: dict[str, str] = {}
    for text in [given] if isinstance(given, str) else given or ():
        one = _FOR_ONE.fullmatch(text)
        slot, spec = (one[1], one[2]) if one else ("", text)
        if slot in models:
            raise BadModelSpec(f"--model names {models[slot]!r} and {spec!r} for {slot or 'every slot'}; name one")
        models[slot] = spec
    return models


class OwnSlots:
    """Opens the slots of one agent and remembers them.

    ``models`` are those of the command, by node or slot, and stay; ``first`` those that the agent's own file names,
    which answer until a version of the slot is promoted. The models of the agents in ``text`` call tools in text.
    """

    def __init__(
        self,
        store: "Store",
        models: Mapping[str, str],
        first: Mapping[str, str] | None = None,
        *,
        text: Collection[str] = (),
    ) -> None:
        self.store = store
        self.models = dict(models)
        self.first = dict(first or {})
        self.text = text
        self.opened: dict[str, Slot] = {}
        self.chosen: set[str] = set()
        """The slots whose model the command named."""
        self.used: set[str] = set()

    def open(self, name: str) -> "Slot":
        """The slot ``name`` (``shop.think``), the same each time.

        Raises:
            BadModelSpec: no model is named for it.
        """
        if name not in self.opened:
            self.opened[name] = self._open(name)
        return self.opened[name]

    def versions(self) -> dict[str, str]:
        """The versions that the command named, by slot."""
        return {name: slot.version_now() for name, slot in self.opened.items() if name in self.chosen}

    def check(self) -> None:
        """Make sure that every model that was named has its slot.

        Raises:
            BadModelSpec: it has not.
        """
        known = {key for name in self.opened for key in (name, name.rpartition(".")[2])} | ({""} & self.used)
        for slot, spec in self.models.items():
            if slot not in known:
                what = f"slot {slot!r} for {spec!r}" if slot else f"slot of which {spec!r} is a version"
                raise BadModelSpec(f"the agent has no {what}; it has {', '.join(self.opened) or 'none'}")

    def _open(self, name: str) -> "Slot":
        from ..training.slots import open_slot

        agent, _, node = name.rpartition(".")
        text = agent in self.text
        spec = self.models.get(name) or self.models.get(node)
        if spec is None and (spec := self._for_all(agent, name)) is not None:
            self.used.add("")
        if spec is not None:
            self.chosen.add(name)
            return open_slot(self.store, name, spec, text=text)
        first = self.first.get(name) or self.first.get(node)
        if first is not None:
            return open_slot(self.store, name, first=first, text=text)
        if not self._is_live(name):
            strange = ", ".join(key for key in self.models if key and key not in self.opened and key != node)
            only = f" (--model names one for {strange} only)" if strange else ""
            raise BadModelSpec(
                f"nothing says which model answers in {name}{only}: give --model SPEC (or --model {node}=SPEC), write "
                f'{node} = "SPEC" under [models] in the agent\'s TOML file, or promote a version of {name}'
            )
        return open_slot(self.store, name, text=text)

    def _for_all(self, agent: str, name: str) -> str | None:
        """The SPEC without a slot; a version of another slot of this agent is meant for that slot alone."""
        spec = self.models.get("")
        slot = (spec or "").partition("@")[0]
        return None if spec and "@" in spec and slot != name and slot.rpartition(".")[0] == agent else spec

    def _is_live(self, name: str) -> bool:
        from ..checkpoints.registry import resolve

        try:
            resolve(self.store, f"{name}@live")
        except (UnknownSlot, UnknownVersion):
            return False
        return True
