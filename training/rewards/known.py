"""The rewards by name: those that are built in, your own, and how a name with parameters becomes a function."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial as bind
from importlib import import_module
from inspect import Parameter, signature
from runpy import run_path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ...errors import BadReward
from .answer import answer_match, json_answer
from .economy import efficiency, length, steps
from .end_state import end_state, exit_code, partial
from .finished import Finished, GroupReward, Reward
from .safety import safety
from .tool_calls import tool_success, valid_calls

REWARDS: dict[str, Callable[..., float]] = {
    "end_state": end_state,
    "partial": partial,
    "answer_match": answer_match,
    "tool_success": tool_success,
    "efficiency": efficiency,
    "steps": steps,
    "valid_calls": valid_calls,
    "json_answer": json_answer,
    "length": length,
    "safety": safety,
    "exit_code": exit_code,
}
"""Name to the reward; its parameters are the keyword arguments."""

WITH_MODEL = ("judge", "judge_pairs", "ruler", "learned")
"""Rewards that ask a model: ``open_rewards`` opens it."""


def find_reward(name: str, parameters: Mapping[str, Any]) -> GroupReward:
    """The reward ``name`` with ``parameters`` bound, for all episodes of a group.

    ``file.py:function`` or ``module:function`` is one of your own: a function of a ``Finished``, or of a whole group if
    its first parameter is called ``group``. Its keyword-only arguments are its parameters.

    Raises:
        BadReward: no such reward or parameter, or a value that does not fit.
    """
    if ":" in name:
        return _own(name, parameters)
    if name in WITH_MODEL:
        raise BadReward(f"reward {name!r} asks a model; open it with open_rewards, which knows where models are")
    if name not in REWARDS:
        raise unknown_reward(name)
    return each(bind(REWARDS[name], **fitting_parameters(name, REWARDS[name], parameters)))


def unknown_reward(name: str) -> BadReward:
    """The error that names the nearest reward."""
    known = [*REWARDS, *WITH_MODEL]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? There" if near else "there"
    return BadReward(f"there is no reward {name!r}; {hint} are {', '.join(known)}; your own: file.py:function")


def each(reward: Reward) -> GroupReward:
    """A reward of one episode as one of a group: every episode by itself."""

    def rewards(group: Sequence[Finished]) -> list[float]:
        return [reward(episode) for episode in group]

    return rewards


def _own(name: str, parameters: Mapping[str, Any]) -> GroupReward:
    source, _, function = name.rpartition(":")
    try:
        reward = run_path(source)[function] if source.endswith(".py") else getattr(import_module(source), function)
    except (OSError, ImportError, KeyError, AttributeError) as error:
        raise BadReward(
            f"there is no reward {name!r} ({type(error).__name__}: {error}); name a function as file.py:function"
        ) from error
    bound = bind(reward, **fitting_parameters(name, reward, parameters))
    return bound if next(iter(signature(reward).parameters), "") == "group" else each(bound)


def fitting_parameters(name: str, reward: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given``, checked against the keyword arguments of ``reward`` and read as their types.

    Raises:
        BadReward: with the value seen and what there is.
    """
    known = {key: about for key, about in signature(reward).parameters.items() if about.kind == Parameter.KEYWORD_ONLY}
    hints = get_type_hints(reward)
    for key in given:
        if key not in known:
            near = get_close_matches(key, list(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
            raise BadReward(f"reward {name!r} has no parameter {key!r}; {hint}")
    for key, about in known.items():
        if about.default is Parameter.empty and key not in given:
            raise BadReward(f"reward {name!r} needs its parameter {key!r}; set it in [rewards.{name}]")
    read = {}
    for key, value in given.items():
        try:
            read[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            last = error.errors()[-1]  # of several types that a value may have, the fullest
            place = ".".join(str(part) for part in last["loc"])
            what = f"{place}: {last['msg']}" if place else last["msg"]
            raise BadReward(f"reward {name!r} cannot take {key} = {value!r}: {what}") from error
    return read
