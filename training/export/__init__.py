"""Export threads as data sets: masked SFT rows, and preference pairs.

The same threads give the same bytes. A thread whose tokens cannot be read is set aside, counted,
and stops nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...checkpoints.data_sets import record_data_set
from ...checkpoints.labels import labels_of
from ...checkpoints.store import Store
from ...checkpoints.threads import list_threads
from ...errors import BadModelFolder, BadTrace, CannotRender
from ...nodes.models.families.choose import family_named
from ...nodes.models.render import Renderer
from ..branches import Branch, read_branches
from ..dataset import write_dataset
from ..pairs import Continuation, Pairs
from ..rows import IGNORED, SftRows

Progress = Callable[[int, int], None]
"""Told how many threads are done, and of how many."""


def export_sft(
    store: Store,
    out: Path,
    *,
    tokenizer: Any,
    agent: str | None = None,
    task: str | None = None,
    threads: str | None = None,
    only_success: bool = True,
    min_reward: float | None = None,
    max_length: int | None = None,
    family: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write SFT rows to the folder ``out`` and return its manifest.

    ``tokenizer`` is one, or its folder or hub name; ``family`` as for ``LocalChatModel.from_folder``. ``threads`` is
    a pattern for thread ids such as ``train-*``. Branches count as good if labelled a success (rejection sampling),
    or with a reward of at least ``min_reward`` where that is given; without ``only_success`` all of them are taken.
    """
    renderer = open_renderer(tokenizer, family)
    maker = SftRows(max_length)
    left_out: Counter[str] = Counter()
    rows = []
    for branches in _threads(store, renderer, left_out, agent, task, threads, progress):
        kept = []
        for branch in branches:
            reason = refuse(branch, min_reward) if only_success or min_reward is not None else None
            if reason:
                left_out[reason] += 1
            else:
                kept.append(branch)
        rows += maker.of(kept)
    return _write(
        store,
        Path(out),
        rows,
        {
            "kind": "sft",
            "rows": len(rows),
            "tokens": sum(len(row["input_ids"]) for row in rows),
            "trained_tokens": sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in rows),
            "left_out": _counts(left_out + maker.left_out),
            "by_source": _counts(Counter(row["source"] for row in rows)),
            "tokenizer": renderer.fingerprint,
            "query": {
                "agent": agent,
                "task": task,
                "threads": threads,
                "only_success": only_success,
                "min_reward": min_reward,
                "max_length": max_length,
            },
        },
    )


def export_pairs(
    store: Store,
    out: Path,
    *,
    tokenizer: Any,
    agent: str | None = None,
    task: str | None = None,
    threads: str | None = None,
    continuation: Continuation = "whole",
    max_pairs_per_task: int = 4,
    max_length: int | None = None,
    family: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write preference pairs to the folder ``out`` and return its manifest.

    ``tokenizer``, ``family`` and ``threads`` as for ``export_sft``. Of a thread with several branches, the newest
    is its trial of the task.
    """
    renderer = open_renderer(tokenizer, family)
    maker = Pairs(continuation, max_pairs_per_task, max_length)
    left_out: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    trials = []
    for branches in _threads(store, renderer, left_out, agent, task, threads, progress):
        rows += maker.of_thread(branches)
        trials.append(branches[-1])
    rows += maker.of_trials(trials)
    return _write(
        store,
        Path(out),
        rows,
        {
            "kind": "pairs",
            "rows": len(rows),
            "tokens": sum(
                len(row["prompt_ids"]) * 2 + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows
            ),
            "trained_tokens": sum(sum(row["chosen_mask"]) + sum(row["rejected_mask"]) for row in rows),
            "left_out": _counts(left_out + maker.left_out),
            "by_source": _counts(Counter(row["source"] for row in rows)),
            "tokenizer": renderer.fingerprint,
            "query": {
                "agent": agent,
                "task": task,
                "threads": threads,
                "continuation": continuation,
                "max_pairs_per_task": max_pairs_per_task,
                "max_length": max_length,
            },
        },
    )


def refuse(branch: Branch, min_reward: float | None = None) -> str | None:
    """Why this branch is no example to follow, or None if it is one."""
    if min_reward is not None:
        if branch.outcome.reward is None:
            return "no reward"
        return f"reward below {min_reward}" if branch.outcome.reward < min_reward else None
    if branch.outcome.success is None:
        return "no outcome"
    return None if branch.outcome.success else "failure"


def open_renderer(tokenizer: Any, family: str | None = None) -> Renderer:
    """The renderer of a tokenizer, or of the one in a folder or on the hub; ``family`` None finds it out.

    Raises:
        BadModelFolder: there is none, or it has no chat template.
        BadModelSpec: there is no such family.
    """
    chosen = family_named(family) if family else None
    if not isinstance(tokenizer, str | Path):
        return Renderer(tokenizer, chosen)
    from transformers import AutoTokenizer

    try:
        return Renderer(AutoTokenizer.from_pretrained(str(tokenizer)), chosen)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, BadModelFolder):
            raise
        raise BadModelFolder(
            f"no tokenizer can be opened at {str(tokenizer)!r}: {error}; give a folder with tokenizer.json"
        ) from error


def _threads(
    store: Store,
    renderer: Renderer,
    left_out: Counter[str],
    agent: str | None,
    task: str | None,
    pattern: str | None,
    progress: Progress | None,
) -> Iterator[list[Branch]]:
    """The branches of each thread, threads in the order of their ids; unreadable threads are counted."""
    summaries = [
        summary
        for summary in list_threads(store, agent=agent, task=task)
        if pattern is None or fnmatchcase(summary.thread, pattern)
    ]
    summaries.sort(key=lambda summary: summary.thread)
    labels = labels_of(store, [summary.thread for summary in summaries])
    for done, summary in enumerate(summaries, 1):
        try:
            branches = read_branches(
                store,
                summary.thread,
                task=summary.task,
                labels=labels.get(summary.thread, []),
                renderer=renderer,
            )
        except BadTrace:
            left_out["tokens cannot be read"] += 1
            branches = []
        except CannotRender:
            left_out["the chat template refuses it"] += 1
            branches = []
        if branches:
            yield branches
        if progress is not None:
            progress(done, len(summaries))


def _write(store: Store, out: Path, rows: list[dict[str, Any]], about: dict[str, Any]) -> dict[str, Any]:
    """Write the data set, and remember in the database whose threads it holds."""
    manifest = write_dataset(out, rows, about)
    threads = {thread for row in rows for thread in row.get("threads", [row.get("thread")]) if thread}
    folder = str(out.resolve())
    record_data_set(store, digest=manifest["digest"], kind=about["kind"], folder=folder, threads=threads)
    return manifest


def _counts(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))
