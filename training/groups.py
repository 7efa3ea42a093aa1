"""Groups for GRPO: all trials of one task after the same prompt, with their rewards and what was recorded of sampling.

Pure. The trial of a thread is its newest branch, with what was said inside of its nodes. Rows carry what an offline
update needs: the tokens, the mask of what was sampled or written by a human (which has no logprob), the logprobs, and
the settings they were sampled with.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from ..nodes.models.trace import TRACE_KEY
from .branch_labels import trial_of
from .branches import Branch
from .chosen_nodes import only_messages, only_nodes
from .credit.step_labels import is_continuation, step_columns
from .taken import TakenInMemory, digest_of, span_keys
from .trajectory import Trajectory, loss_mask
from .turns import split_turns


@dataclass
class Groups:
    """Makes the groups of one data set, task by task."""

    max_length: int | None = None
    """Trials with a longer trajectory are left out."""
    nodes: Set[str] | None = None
    """Only their turns are trained; None is all turns."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why trials were left out, and how many."""
    noted: Counter[str] = field(default_factory=Counter)
    """How many groups there are, how many of them without differing rewards, and how many tasks had several prompts."""

    def of_task(self, task: str, threads: Iterable[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        """The rows of the groups of ``task``, one for each trajectory of a trial.

        ``threads`` has the branches of each thread, oldest leaf first.
        """
        by_prompt: dict[tuple[str, bytes], list[Branch]] = defaultdict(list)
        copies = TakenInMemory()
        for branches in threads:
            trial = _with_inner(trial_of(branches), branches)
            reason = self._refuse(trial, copies)
            if reason is not None:
                self.left_out[reason] += 1
            elif trial is not None:
                by_prompt[trial.tokens, _prompt(trial)].append(trial)
        if len(by_prompt) > 1:
            self.noted["tasks with several prompts"] += 1
        for (tokens, prompt), trials in by_prompt.items():
            if len(trials) == 1:
                self.left_out["the only trial after its prompt"] += 1
                continue
            rewards = {_reward(trial) for trial in trials}
            self.noted["groups"] += 1
            self.noted["groups in which all rewards are the same"] += len(rewards) == 1
            name = blake2b(f"{task}\0{tokens}\0".encode(errors="surrogatepass") + prompt, digest_size=8).hexdigest()
            about = {"group": name, "size": len(trials), "varies": len(rewards) > 1}
            for trial in trials:
                yield from _rows(trial, only_nodes(trial, self.nodes), about)

    def _refuse(self, trial: Branch | None, copies: TakenInMemory) -> str | None:
        if trial is None or not trial.trajectories:
            return "no message of a model"
        if is_continuation(trial):
            return "a continuation of another thread"
        if _reward(trial) is None:
            return "no reward"
        trained = _trained(only_nodes(trial, self.nodes))
        if not trained:
            return "nothing to train"
        if self.max_length is not None and any(len(one.ids()) > self.max_length for one in trained):
            return f"longer than {self.max_length} tokens"
        keys = [key for one in trained for key in span_keys(trial, one.spans) if key is not None]
        return None if any(copies.add(keys)) else "a copy of another trial"


def _with_inner(trial: Branch | None, branches: Sequence[Branch]) -> Branch | None:
    """``trial`` with what was said inside of its nodes, in conversations of their own; every turn stays there once."""
    if trial is None:
        return None
    elsewhere = {checkpoint for one in branches for checkpoint in one.path} - {*trial.path}
    for one in sorted(branches, key=lambda branch: branch.checkpoint):  # the oldest first: their namespaces are chance
        at = (one.metadata.get("parents") or {}).get("")
        if at is None or at in elsewhere:
            continue
        if trial.trajectories and one.trajectories and trial.tokens != one.tokens:
            continue  # recorded and rendered tokens are no trial together
        known = {span.message for own in trial.trajectories for span in own.spans if span.origin != "given"}
        new = only_messages(one, {str(message.id) for message in one.messages} - known)
        trial = replace(
            trial,
            tokens=trial.tokens if trial.trajectories else one.tokens,
            messages=(*trial.messages, *one.messages),
            trajectories=(*trial.trajectories, *_trained(new)),
            nodes={**one.nodes, **trial.nodes},
            slots={**one.slots, **trial.slots},
        )
    return trial


def _rows(trial: Branch, chosen: Branch, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    trained = _trained(chosen)
    for part, trajectory in enumerate(trained):
        logprobs: list[float | None] = []
        for span in trajectory.spans:
            logprobs += span.logprobs or [None] * len(span.tokens)
        spoken = [span for span in trajectory.spans if span.origin != "given"]
        messages = list(dict.fromkeys(span.message for span in spoken if span.message))
        first = next(split_turns(trajectory.spans))
        yield {
            **about,
            "input_ids": trajectory.ids(),
            "mask": loss_mask(trajectory.spans),
            "logprobs": logprobs,
            "prompt_length": 0 if first.is_turn else len(first.tokens),
            "reward": _reward(trial),
            "success": trial.outcome.success,
            "sampling": _sampling(trial, set(messages)),
            "versions": sorted({span.version for span in spoken if span.version}),
            "part": part,
            "parts": len(trained),
            "tokens": trial.tokens,
            "source": trial.outcome.source,
            "thread": trial.thread,
            "checkpoint": trial.checkpoint,
            "messages": messages,
            **step_columns(trial, messages),
            "agent": trial.agent,
            "task": trial.task,
        }


def _trained(branch: Branch) -> list[Trajectory]:
    return [one for one in branch.trajectories if any(span.origin != "given" for span in one.spans)]


def _reward(branch: Branch) -> float | None:
    """The reward; where there is none, 1 for a success and 0 for a failure."""
    outcome = branch.outcome
    if outcome.reward is None and outcome.success is not None:
        return float(outcome.success)
    return outcome.reward


def _prompt(branch: Branch) -> bytes:
    """What stands for the tokens in front of the first turn, whichever node that is of."""
    first = next(split_turns(_trained(branch)[0].spans))
    return digest_of(() if first.is_turn else first.tokens)


def _sampling(branch: Branch, messages: Set[str]) -> dict[str, Any] | None:
    """The settings that all these turns were sampled with, without the seed; None if unknown or not the same."""
    found: list[dict[str, Any]] = []
    for message in branch.messages:
        if message.id in messages:
            trace = message.response_metadata.get(TRACE_KEY) or {}
            settings = {name: value for name, value in trace.get("settings", {}).items() if name != "seed"}
            if not settings:
                return None
            found.append({**settings, "constrained": bool(trace.get("constrained"))})
    return found[0] if found and all(one == found[0] for one in found) else None
