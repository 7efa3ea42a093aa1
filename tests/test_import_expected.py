"""Counts of whole files of other people's runs, where a folder with them and their ``EXPECTED.json`` is at hand.

Name it in ``THREADMILL_SAMPLES``; without one nothing is tested here.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from threadmill.checkpoints.importers import ImportReport, import_files
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import latest_metadata, read_messages
from threadmill.checkpoints.store import Store, open_store

SAMPLES = Path(os.environ.get("THREADMILL_SAMPLES", "no folder"))
EXPECTED: dict[str, dict[str, Any]] = (
    json.loads((SAMPLES / "EXPECTED.json").read_text()) if (SAMPLES / "EXPECTED.json").is_file() else {}
)
OF_THE_FILES = {"empty", "calls_without_id", "call_id_reused_in_thread", "distinct_call_ids", "without_summary"}
"""Counts of what the files write; threads have an id of its own for every call."""
NO_RUNS = ("bfcl/", "replay_facts")
"""Questions with their answers, and facts about runs: nothing to import."""
FILES = [file for file in EXPECTED if not any(part in file for part in NO_RUNS)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


@pytest.mark.skipif(not FILES, reason="no folder of samples is named")
@pytest.mark.parametrize("file", FILES)
def test_the_counts_of_a_whole_file_are_met(store: Store, file: str) -> None:
    report = import_files(store, [SAMPLES / file])
    counted = count(store, report)
    wanted = {name: value for name, value in EXPECTED[file].items() if name not in OF_THE_FILES}
    assert {name: counted[name] for name in wanted} == wanted
    again = import_files(store, [SAMPLES / file])
    assert (again.imported, again.already) == (0, report.imported + report.already)


def count(store: Store, report: ImportReport) -> dict[str, Any]:
    """All that ``EXPECTED.json`` has numbers for, counted in the threads."""
    counts: Counter[str] = Counter(records=report.imported + len(report.set_aside), turns=0)
    ends: Counter[str] = Counter()
    outcomes: defaultdict[str, list[float]] = defaultdict(list)
    for thread, labels in labels_of(store).items():
        metadata, messages = latest_metadata(store, thread), read_messages(store, thread)
        reward = next((label.value for label in labels if label.kind == "reward" and label.message is None), None)
        success = next(label.value for label in labels if (label.kind, label.checkpoint) == ("success", None))
        assert isinstance(success, float | int)
        outcomes[metadata["task"]].append(float(success))
        ends[metadata.get("termination_reason", "")] += 1
        counts["reward_1"] += reward == 1
        counts["solved"] += reward == 1
        counts["ends_with_tool"] += messages[-1].type == "tool"
        ids = [call["id"] for message in messages if message.type == "ai" for call in message.tool_calls]
        assert len(ids) == len(set(ids))
        for message in messages:
            counts["messages_" + {"ai": "assistant", "human": "user"}.get(message.type, message.type)] += 1
            if message.type == "tool":
                counts["error_observations"] += message.status == "error"
            elif message.type == "human":
                counts["user_tool_calls"] += len(message.additional_kwargs.get("user_calls", []))
            elif message.type == "ai":
                calls = len(message.tool_calls)
                counts["tool_calls"] += calls
                counts["turns"] += calls
                counts["parallel_messages"] += calls > 1
                counts["text_and_call"] += bool(calls and message.text)
                counts["canned_first_greeting"] += message.response_metadata.get("canned", False)
    return {
        **{name: counts[name] for names in EXPECTED.values() for name in names},
        **counts,
        "assistant_tool_calls": counts["tool_calls"],
        "tasks": len(outcomes),
        "tasks_with_success_and_failure": sum(len(set(values)) == 2 for values in outcomes.values()),
        "success_x_failure_pairs": sum(values.count(1.0) * values.count(0.0) for values in outcomes.values()),
        "termination": dict(ends),
    }
