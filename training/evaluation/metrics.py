"""The metrics of evaluations: their names, what they count, in which unit, and which way is better. No arithmetic."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"] | None
How = Literal["mean", "p50", "p95", "pass_at_k", "pass_hat_k"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of an evaluation. An episode to which it does not apply has None there, never 0."""

    name: str
    unit: str
    """``share`` (from 0 to 1), ``calls``, ``tokens``, ``s``, ``USD`` …"""
    better: Better
    about: str
    """What it counts, and when it does not apply."""
    how: How = "mean"
    """How episodes become one figure: the mean of task means, a quantile of all samples, or an estimate over trials."""
    of: str = ""
    """The value (``how`` is an estimate over trials) or the samples (a quantile) that it is made of."""
    tiers_alike: bool = False
    """Whether every tier weighs the same; else every task does."""


METRICS: tuple[Metric, ...] = (
    Metric(
        "success",
        "share",
        "higher",
        "Every condition of the end state came true. A crash is no success; None where nobody judged.",
        tiers_alike=True,
    ),
    Metric(
        "reward",
        "share",
        "higher",
        "Partial credit: conditions that came true, of all. A crash earns 0; None where nobody judged.",
        tiers_alike=True,
    ),
    Metric(
        "pass_at_k",
        "share",
        "higher",
        "The chance that at least one of k trials of a task succeeds (Chen et al. 2021).",
        how="pass_at_k",
        of="success",
        tiers_alike=True,
    ),
    Metric(
        "pass_hat_k",
        "share",
        "higher",
        "The chance that all of k trials of a task succeed (Yao et al. 2024).",
        how="pass_hat_k",
        of="success",
        tiers_alike=True,
    ),
    Metric(
        "tool_selection",
        "share",
        "higher",
        "Needed calls whose tool was called, as often as needed, of all needed calls; where none is needed, 1 if none "
        "was made. None where the needed calls are not known.",
    ),
    Metric(
        "argument_accuracy",
        "share",
        "higher",
        "Arguments with the needed value, of all arguments of the calls that pair with a needed call of the same tool; "
        "one too many or too few is wrong. None where no call pairs, or none has arguments.",
    ),
    Metric(
        "json_validity",
        "share",
        "higher",
        "Calls that could be read, name a tool of the agent and fit its schema, of all calls. None without calls.",
    ),
    Metric(
        "steps",
        "model calls",
        "lower",
        "Messages of the models, of agents and steps inside too. None where a crash left no messages.",
    ),
    Metric("calls", "calls", None, "Calls that the model proposed, unreadable ones included."),
    Metric("failed_calls", "calls", "lower", "Calls that the tool refused or that took too long."),
    Metric(
        "invalid_calls",
        "calls",
        "lower",
        "Calls that could not be read, did not fit the schema, or named no tool.",
    ),
    Metric(
        "unneeded_calls",
        "calls",
        "lower",
        "Calls that could be read beyond those of the shortest solution, name and arguments. None where not known.",
    ),
    Metric(
        "repeated_calls",
        "calls",
        "lower",
        "Calls equal to an earlier one, name and arguments, that got the same answer: nothing had changed. Those after "
        "a new word of the user, or after a time-out, do not count.",
    ),
    Metric(
        "recovery",
        "share",
        "higher",
        "Calls that did not work (failed, late, invalid) after which a call of the same tool worked, or the episode "
        "succeeded, of all that did not work. None where all worked.",
    ),
    Metric(
        "clarification",
        "share",
        "higher",
        "Where something must be asked for: the agent asked the user. None elsewhere.",
    ),
    Metric(
        "needless_question",
        "share",
        "lower",
        "Where the agent should act: it asked the user. None elsewhere.",
    ),
    Metric(
        "refusal",
        "share",
        "higher",
        "Where something must be refused: the agent answered, and called no tool but those of the shortest solution. "
        "None elsewhere.",
    ),
    Metric(
        "groundedness",
        "share",
        "higher",
        "Claims of the agent's answers (numbers, ids, dates, times, addresses, quoted words) that an observation, the "
        "user or the system prompt held before, of all. None where it claims nothing of the sort.",
    ),
    Metric("match_strict", "share", "higher", "The calls are the needed ones, in their order. None where not known."),
    Metric("match_unordered", "share", "higher", "The calls are the needed ones, in any order. None where not known."),
    Metric("match_subset", "share", "higher", "No call is made that is not needed. None where not known."),
    Metric("match_superset", "share", "higher", "Every needed call is made. None where not known."),
    Metric("sampled_tokens", "tokens", "lower", "Tokens that the model sampled. None unless every call recorded them."),
    Metric("prompt_tokens", "tokens", "lower", "Tokens that the model read, summed over its calls. None as above."),
    Metric("model_seconds", "s", "lower", "Time in model calls, summed. None unless every call recorded it."),
    Metric("tool_seconds", "s", "lower", "Time in tools, summed. None unless every call that ran recorded it."),
    Metric(
        "episode_seconds",
        "s",
        "lower",
        "Model calls and, of each turn, the longest tool: what a user waits. None unless all recorded their time.",
    ),
    Metric("model_call_p50", "s", "lower", "Median time of a model call.", how="p50", of="model_call"),
    Metric("model_call_p95", "s", "lower", "95th percentile of a model call's time.", how="p95", of="model_call"),
    Metric("tool_call_p50", "s", "lower", "Median time of a tool call that ran.", how="p50", of="tool_call"),
    Metric("tool_call_p95", "s", "lower", "95th percentile of a tool call's time.", how="p95", of="tool_call"),
    Metric("episode_p50", "s", "lower", "Median of episode_seconds.", how="p50", of="episode"),
    Metric("episode_p95", "s", "lower", "95th percentile of episode_seconds.", how="p95", of="episode"),
    Metric(
        "cost_usd",
        "USD",
        "lower",
        "Tokens by the price table. None without a table, tokens, or a price for every model of the episode.",
    ),
)

METRIC = {metric.name: metric for metric in METRICS}
"""Metrics by name."""
