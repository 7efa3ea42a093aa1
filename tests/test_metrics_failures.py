"""Why episodes fail: an example of every kind, tables of tools and failures, and recorded runs of other people."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.checkpoints.importers import tau_bench
from threadmill.training.evaluation.breakdown import ToolCounts, by_failure, by_tool
from threadmill.training.evaluation.failures import KINDS, Failure
from threadmill.training.evaluation.measured import METRICS, Measured, measure_episode
from threadmill.training.rewards.finished import Finished, make_finished
from threadmill.training.suites import Judged

TAU = Path(__file__).parent / "data" / "tau_airline.gpt-4o.sample.jsonl.gz"
ASK = HumanMessage("Cancel order 7.")


def look(order: int = 7, answer: str = "open", kind: str = "result") -> list[BaseMessage]:
    return called("look", order, answer, kind)


def cancel(order: int = 7, answer: str = "done", kind: str = "result") -> list[BaseMessage]:
    return called("cancel", order, answer, kind)


def called(name: str, order: int, answer: str, kind: str) -> list[BaseMessage]:
    call: Any = {"name": name, "args": {"order": order}, "id": "c1", "type": "tool_call"}
    return [
        AIMessage("", tool_calls=[call], id=f"{name} {order}"),
        ToolMessage(answer, tool_call_id="c1", additional_kwargs={"kind": kind}, id=f"{name} {order}:0"),
    ]


def said(text: str) -> list[BaseMessage]:
    return [AIMessage(text, id="said")]


def failed(*parts: list[BaseMessage], **known: Any) -> Finished:
    """An episode that did not succeed; ``look`` and ``cancel`` of order 7 were needed."""
    messages = (ASK, *(message for part in parts for message in part))
    last = messages[-1]
    answer = last.text if isinstance(last, AIMessage) and not last.tool_calls else ""
    settled = {"needed": (("look", {"order": 7}), ("cancel", {"order": 7})), "met": 0, **known}
    return Finished("t1", messages, text=ASK.text, answer=answer, conditions=1, **settled)


EPISODES = {
    "crashed": failed(look(), status="failed", met=None),
    "out_of_budget": failed(look(), status="truncated"),
    "left_waiting": failed(look()[:1], status="paused"),
    "unknown_tool": failed(called("lock", 7, "there is no tool 'lock'", "unknown_tool"), look(), cancel()),
    "wrong_schema": failed(look(7, "order: 7 is too small", "invalid"), cancel()),
    "refused_call": failed(look(), cancel(7, "not this one", "rejected")),
    "error_not_recovered": failed(look(), cancel(7, "is shipped", "failed"), said("Sorry.")),
    "repeated_call": failed(look(), look(), cancel(), said("Sorry.")),
    "should_have_asked": failed(said("Sorry."), due="ask"),
    "should_have_refused": failed(look(), cancel(), needed=(("look", {"order": 7}),), due="refuse"),
    "needless_question": failed(said("Which one?"), due="act"),
    "wrong_tool": failed(look(), called("pay", 7, "paid", "result"), said("Sorry.")),
    "wrong_argument": failed(look(), cancel(8), said("Sorry.")),
    "claimed_without_acting": failed(look(), said("Order 7 is cancelled.")),
    "stopped_early": failed(look(), said("It is open.")),
    "skipped_call": failed(cancel(), said("Sorry.")),
    "acted_too_much": failed(look(), cancel(), called("pay", 7, "paid", "result"), said("Sorry.")),
    "ungrounded_claim": failed(look(), cancel(), said("Order 8 it was.")),
    "wrong_answer": failed(look(), cancel(), said("Sorry.")),
    "other": failed(look(), cancel()),
}


@pytest.mark.parametrize("kind", EPISODES)
def test_an_example_of_each_kind(kind: str):
    measured = measure_episode(EPISODES[kind])
    assert kind in [failure.kind for failure in measured.failures]
    assert [*KINDS].index(measured.failures[0].kind) <= [*KINDS].index(kind)


def test_every_kind_has_an_example():
    assert [kind for kind in KINDS if kind not in EPISODES] == ["invalid_json"]  # in test_metrics.py


def test_the_documents_name_every_metric_and_kind():
    page = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = [*(f"| `{metric.name}` | {metric.unit} |" for metric in METRICS), *(f"| `{kind}` |" for kind in KINDS)]
    assert [row for row in told if row not in page] == []


def test_a_failure_links_to_the_message_where_it_shows():
    assert failures("wrong_argument") == [
        Failure("wrong_argument", "t1", "cancel 8", "cancel", "order is 8, needed 7"),
    ]
    assert failures("claimed_without_acting") == [
        Failure(
            "claimed_without_acting", "t1", "said", None, """'Order 7 is cancelled.' without cancel {"order": 7}"""
        ),
    ]
    assert failures("error_not_recovered") == [
        Failure("error_not_recovered", "t1", "cancel 7", "cancel", "is shipped"),
    ]
    assert failures("ungrounded_claim") == [
        Failure("ungrounded_claim", "t1", "said", None, "number '8' occurs in nothing it was told"),
        Failure("wrong_answer", "t1", "said", None, "'Order 8 it was.'"),
    ]


def test_a_successful_episode_may_have_slips_but_no_reasons():
    slipped = failed(look(), look(), said("Done."), met=1)
    assert [failure.kind for failure in measure_episode(slipped).failures] == ["repeated_call"]


def test_failures_are_counted_by_episode_with_examples_of_those_without_success_first():
    slipped = Measured({"success": 1.0}, failures=(a_failure("repeated_call", "t1"),))
    lost = Measured({"success": 0.0}, failures=(a_failure("repeated_call", "t2"), a_failure("repeated_call", "t2")))
    early = Measured({"success": 0.0}, failures=(a_failure("stopped_early", "t3"),))
    found = by_failure([slipped, lost, early, early], examples=1)
    assert [(kind, counts.episodes, counts.unsuccessful) for kind, counts in found.items()] == [
        ("stopped_early", 2, 2),
        ("repeated_call", 2, 1),
    ]
    assert found["repeated_call"].examples == (a_failure("repeated_call", "t2"),)
    json.dumps({kind: counts.as_json() for kind, counts in found.items()})


def test_tools_are_summed_over_episodes():
    counts = {"calls": 2, "failed": 1, "invalid": 0, "repeated": 0, "timed": 2, "seconds": 0.5}
    silent = {"calls": 1, "failed": 0, "invalid": 1, "repeated": 0, "timed": 0, "seconds": 0.0}
    found = by_tool([Measured({}, {"pay": silent, "look": counts}), Measured({}, {"look": counts})])
    assert found == {"look": ToolCounts(4, 2, 0, 0, 250.0), "pay": ToolCounts(1, 0, 1, 0, None)}
    assert [*found] == ["look", "pay"]


def test_recorded_airline_runs_can_be_measured():
    """Real runs of gpt-4o in tau-bench: nobody noted tokens, times or kinds, and the user has the last word."""
    with gzip.open(TAU, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    measured = [measure_episode(finished_of(row)) for row in rows]
    assert [one.values["success"] for one in measured] == [row["reward"] for row in rows]
    assert all(one.failures for one in measured if not one.values["success"])
    assert [failure.text for one in measured for failure in one.failures if failure.kind == "ungrounded_claim"] == []
    assert {one.values["sampled_tokens"] for one in measured} == {None}


def finished_of(row: dict[str, Any]) -> Finished:
    record = tau_bench.read(row, TAU)
    actions = row["info"]["task"]["actions"]
    needed = tuple((action["name"], action["kwargs"]) for action in actions)
    return make_finished(record.thread, record.messages, judged=Judged(int(row["reward"]), 1), needed=needed)


def failures(kind: str) -> list[Failure]:
    return [*measure_episode(EPISODES[kind]).failures]


def a_failure(kind: str, thread: str) -> Failure:
    return Failure(kind, thread, None, None, "")
