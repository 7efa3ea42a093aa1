"""What a candidate must show before it goes live: read from a TOML file, checked, with defaults for everything."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import BadPolicy
from ..evaluation.metrics import METRICS

DEFAULT_POLICY = """\
# What a candidate must show before it takes the place of what is live. Shares of tasks are written 0.1 for 10 points.

# How often a candidate no better than live may be promoted, all looks at it together.
level = 0.05
# By more than this it must be better than live, in the mean over the tiers. 0 asks that it is better at all; below 0
# it may be that much worse, which suits a candidate that is smaller and need not be better.
margin = 0.0
# A tier may not be this much worse: what its interval cannot rule out is held.
tier_margin = 0.1
# Tasks of each tier below which nothing is decided.
minimum_tasks = 40
# true: all candidates compared with one live version share the level; the m-th gets 1/(m(m+1)) of it.
share_level = false
# Of tasks and sampling. `threadmill eval` uses 0: what was chosen by those tasks is judged by others.
seed = 1000

# By more than this a metric may not become worse, per task: `relative` to what live has, `absolute`, or their sum.
# Any metric of `threadmill eval` can stand here. Wide on purpose: who gives up early is cheap, and who learns to look
# things up first takes more steps. These catch a candidate that runs in circles.
[metrics]
steps = { relative = 1.0 }
sampled_tokens = { relative = 1.0 }
failed_calls = { absolute = 0.5 }
invalid_calls = { absolute = 0.5 }

# Without any suite it is that of the slot's agent, with these numbers. Each look adds as many fresh tasks.
# [[suites]]
# name = "helpdesk"
# tasks_per_tier = 100
# k = 2
#
# A safety suite tolerates nothing: one trial that fails, and the candidate is rejected.
# [[suites]]
# name = "safety.py:make_suite"
# tasks_per_tier = 20
# k = 2
# safety = true
"""
"""The default policy with its comments, as TOML that ``load_policy`` reads as ``GatePolicy()``."""


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SuiteRule(_Checked):
    """A suite that the gate plays."""

    name: Annotated[str, Field(min_length=1)]
    tasks_per_tier: Annotated[int, Field(ge=2)] = 100
    """At each look."""
    k: Annotated[int, Field(ge=1)] = 2
    """Trials of each task."""
    safety: bool = False


class Guard(_Checked):
    """How much worse a metric may become, per task; the two add up."""

    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """To the mean of live."""
    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class GatePolicy(_Checked):
    """Everything that a decision depends on besides the evidence."""

    level: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    margin: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] = 0.0
    tier_margin: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    minimum_tasks: Annotated[int, Field(ge=2)] = 40
    share_level: bool = False
    seed: Annotated[int, Field(ge=0)] = 1000
    metrics: dict[str, Guard] = {
        "steps": Guard(relative=1.0),
        "sampled_tokens": Guard(relative=1.0),
        "failed_calls": Guard(absolute=0.5),
        "invalid_calls": Guard(absolute=0.5),
    }
    suites: tuple[SuiteRule, ...] = ()
    """None: the suite of the slot's agent."""

    @model_validator(mode="after")
    def _sensible(self) -> "GatePolicy":
        guardable = {metric.name: metric for metric in METRICS if metric.how == "mean" and not metric.tiers_alike}
        for name in self.metrics:
            if name not in guardable:
                raise ValueError(f"{name!r} is no metric that can be guarded; there is {', '.join(guardable)}")
            if guardable[name].better is None:
                raise ValueError(f"{name!r} has no better side, so it cannot be guarded; take it out of [metrics]")
        names = [suite.name for suite in self.suites]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the suite {twice[0]!r} stands there twice; keep one of the two")
        if self.suites and all(suite.safety for suite in self.suites):
            raise ValueError("all suites are safety suites, which cannot show that a candidate is better; add another")
        return self


def load_policy(path: Path | str | None = None) -> GatePolicy:
    """The policy in a TOML file; None is the default policy.

    Raises:
        BadPolicy: the file cannot be read, or says something that no policy can.
    """
    if path is None:
        return GatePolicy()
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadPolicy(f"there is no file {path}; `threadmill gate --print-policy > {path}` writes one") from None
    except (OSError, ValueError) as error:
        raise BadPolicy(
            f"{path} cannot be read as TOML: {error}; `threadmill gate --print-policy` shows one"
        ) from error
    return read_policy(values, str(path))


def read_policy(values: dict[str, Any], place: str = "the policy") -> GatePolicy:
    """The policy of ``values``, as TOML or a record has them.

    Raises:
        BadPolicy: they say something that no policy can; ``place`` is named.
    """
    try:
        return GatePolicy.model_validate_json(_json(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadPolicy(f"{place}: {_problem(first)}; `threadmill gate --print-policy` shows all settings") from error


def _json(values: dict[str, Any]) -> str:
    """Through JSON, in which lists may become tuples though types are taken strictly."""
    import json

    return json.dumps(values, default=str)


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where} is no setting"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{where} = {error['input']!r}: it {error['msg'].removeprefix('Input ')}"
