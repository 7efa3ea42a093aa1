"""What the stages of a round share: the database, the slot and its live version, the suites, and the gate's policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...checkpoints.registry import Version, list_versions, promote, register_version, resolve, verified_folder
from ...checkpoints.store import Store
from ...errors import BadConfig, UnknownSlot, UnknownVersion
from ..gate.policy import GatePolicy, SuiteRule
from ..slots import SEED_POLICY
from ..suites import BUILT_IN, Suite, open_suite
from ..worlds.helpdesk.prompt import SLOT
from .settings import ImproveConfig


@dataclass(frozen=True)
class Work:
    """Everything that is known before the first stage; nothing of it changes."""

    store: Store
    config: ImproveConfig
    slot: str
    base: Version | None
    """What is live; None in a dry run that would begin with the seed policy."""
    policy: GatePolicy
    suite_name: str | None
    """The suite whose tasks are played to learn; None if there is none, and then no gate either."""
    suites: Mapping[str, Suite]
    """Those of the policy, and that one, by their names."""
    folder: Path
    """Of the round."""

    @property
    def suite(self) -> Suite | None:
        """The suite whose tasks are played to learn."""
        return None if self.suite_name is None else self.suites[self.suite_name]

    @property
    def base_folder(self) -> str:
        """Where the live weights lie, their files as registered."""
        return str(SEED_POLICY) if self.base is None else verified_folder(self.store, self.base.name)

    @property
    def slots(self) -> tuple[str, ...]:
        """Whose turns are trained: of an agent with several slots those of this one, else all."""
        several = self.suite is not None and len(self.suite.slots) > 1
        return (self.slot,) if several else ()


def open_work(store: Store, config: ImproveConfig, policy: GatePolicy, folder: Path) -> Work:
    """Find all of it. An agent that is built in and has no version yet begins with the policy that ships.

    Raises:
        UnknownSuite, UnknownSlot, UnknownVersion
        BadConfig: the slot is not the agent's, or has to be named.
    """
    name = config.suite or next((rule.name for rule in policy.suites if not rule.safety), None)
    if name is None and config.agent in BUILT_IN:
        name = config.agent
    if name is not None and not policy.suites:
        policy = policy.model_copy(update={"suites": (SuiteRule(name=name),)})
    names = [*([name] if name else []), *(rule.name for rule in policy.suites)]
    suites = {one: open_suite(one) for one in names}
    slot = _slot(store, config, suites.get(name or ""))
    return Work(store, config, slot, _live(store, slot), policy, name, suites, folder)


def _slot(store: Store, config: ImproveConfig, suite: Suite | None) -> str:
    registered = dict.fromkeys(version.slot for version in list_versions(store))
    own = [slot for slot in registered if slot.partition(".")[0] == config.agent]
    known = list(suite.slots) if suite is not None else own
    if suite is not None and not any(slot.partition(".")[0] == config.agent for slot in known):
        raise BadConfig(
            f"the suite {suite.name!r} plays the agent of {', '.join(known)}, not {config.agent!r}; name its own suite"
        )
    if config.slot is not None:
        if config.slot not in known:
            there = ", ".join(known) or "none"
            raise BadConfig(f"the agent {config.agent!r} has no slot {config.slot!r}; it has {there}")
        return config.slot
    if not known:
        raise UnknownSlot(
            f"no slot of an agent {config.agent!r} is registered in {store.name}; register the weights it runs with: "
            f"threadmill models register {config.agent}.think FOLDER"
        )
    if len(known) > 1:
        raise BadConfig(f"the agent {config.agent!r} has several slots: {', '.join(known)}; choose one with --slot")
    return known[0]


def _live(store: Store, slot: str) -> Version | None:
    try:
        return resolve(store, f"{slot}@live")
    except UnknownSlot:
        if slot != SLOT:
            raise
    except UnknownVersion as error:
        raise UnknownVersion(
            f"nothing is live in {slot}; say what is: threadmill models promote {slot} 0001"
        ) from error
    if store.read_only:
        return None
    return register_seed(store)


def register_seed(store: Store) -> Version:
    """The policy that ships with the package as the first version of the helpdesk's slot, and live."""
    seed = register_version(store, SLOT, SEED_POLICY, lineage={"recipe": "seed_policy"})
    return promote(store, SLOT, seed.name, because="the policy that ships with the package")
