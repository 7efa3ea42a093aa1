"""Rewards from a table, such as ``[rewards]`` of a TOML file, with the models that some of them ask.

A number is a weight; a table has the ``weight`` beside the parameters of that reward::

    [rewards]
    end_state = 1.0

    [rewards.length]
    weight = 0.2
    max_tokens = 512
    buffer = 128
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...checkpoints.store import Store
from ...errors import BadReward
from .answer_cache import AnswerCache
from .asking import Judge
from .compose import Rewards
from .finished import GroupReward
from .judge import make_judge
from .judge_pairs import make_judge_pairs
from .known import fitting_parameters
from .ruler import make_ruler

JUDGES: dict[str, Callable[..., GroupReward]] = {
    "judge": make_judge,
    "judge_pairs": make_judge_pairs,
    "ruler": make_ruler,
}


@dataclass(frozen=True, slots=True)
class Table:
    """What a table says."""

    weights: dict[str, float]
    parameters: dict[str, dict[str, Any]]


def read_table(table: Mapping[str, Any]) -> Table:
    """The weights and parameters in ``table``, whose names are not looked up yet.

    >>> read_table({"partial": 1, "steps": {"weight": 0.1, "budget": 8}})
    Table(weights={'partial': 1, 'steps': 0.1}, parameters={'steps': {'budget': 8}})

    Raises:
        BadReward: an entry is neither a number nor a table with a weight.
    """
    weights: dict[str, float] = {}
    parameters: dict[str, dict[str, Any]] = {}
    for name, entry in table.items():
        if not isinstance(entry, Mapping):
            weights[name] = entry
        elif "weight" in entry:
            weights[name] = entry["weight"]
            parameters[name] = {key: value for key, value in entry.items() if key != "weight"}
        else:
            raise BadReward(f"[rewards.{name}] has no weight; add a line such as weight = 1.0 (0 only watches it)")
    return Table(weights, parameters)


def read_file(path: Path) -> dict[str, Any]:
    """The table ``[rewards]`` of a TOML file.

    Raises:
        BadReward: it is no TOML file, or has no such table.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadReward(
            f"there is no file {str(path)!r}; write one with a table [rewards] and a line such as end_state = 1.0"
        ) from None
    except (OSError, ValueError) as error:
        raise BadReward(f"{str(path)!r} cannot be read as TOML: {error}; mend the file") from error
    if not isinstance(content.get("rewards"), dict):
        raise BadReward(f"{str(path)!r} has no table [rewards]; add one with a line such as end_state = 1.0")
    return content["rewards"]


@contextmanager
def open_rewards(table: Mapping[str, Any], store: Store) -> Iterator[Rewards]:
    """The rewards that ``table`` names, ready to score; what judges say is kept in a file beside ``store``.

    Raises:
        BadReward: a name, a weight or a parameter is not understood.
        BadModelSpec, UnknownVersion, BadModelFolder: a model cannot be opened.
    """
    read = read_table(table)
    own: dict[str, GroupReward] = {}
    with ExitStack() as opened:
        for name in read.weights.keys() & {*JUDGES, "learned"}:
            parameters = read.parameters.pop(name, {})
            if name == "learned":
                own[name] = _learned(parameters)
            else:
                own[name] = _judged(name, parameters, store, opened)
        yield Rewards(read.weights, read.parameters, own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The parameters that all judges share."""

    model: str
    """SPEC."""
    temperature: float = 0.0
    max_new_tokens: int = 1024
    tries: int = 2
    """How often an answer is asked for until it can be read."""
    most_unreadable: float = 0.5
    cache: Path | None = None
    """The file of answers; None is one beside the database."""


def _judged(name: str, parameters: Mapping[str, Any], store: Store, opened: ExitStack) -> GroupReward:
    from ..slots import open_slot

    maker = JUDGES[name]
    shared = {field.name for field in fields(Asking)}
    its_own = fitting_parameters(name, maker, {key: value for key, value in parameters.items() if key not in shared})
    common = {key: value for key, value in parameters.items() if key in shared}
    how = Asking(**fitting_parameters(name, Asking, common))
    cache = AnswerCache(how.cache or store.place.with_suffix(".judge.db"))
    opened.callback(cache.close)
    slot = open_slot(
        store, f"rewards.{name}", how.model, temperature=how.temperature, max_new_tokens=how.max_new_tokens
    )
    return maker(Judge(slot, cache, how.tries, how.most_unreadable), **its_own)


def _learned(parameters: Mapping[str, Any]) -> GroupReward:
    from .learned import make_learned, open_reward_model

    known = {key: value for key, value in parameters.items() if key not in ("model", "device")}
    its_own = fitting_parameters("learned", make_learned, known)
    if not isinstance(parameters.get("model"), str):
        raise BadReward("reward 'learned' needs its parameter 'model': a folder that `threadmill train reward` wrote")
    return make_learned(open_reward_model(parameters["model"], device=parameters.get("device")), **its_own)
