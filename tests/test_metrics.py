"""What an episode measures, on small episodes that a person can count."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.evaluation.measured import METRICS, Measured, measure_episode
from threadmill.training.evaluation.prices import Price, Prices
from threadmill.training.rewards.finished import Finished, make_finished
from threadmill.training.suites import Judged
from threadmill.training.worlds.helpdesk.tasks import make_tasks

TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
        },
    }
    for name in ("look", "cancel", "pay")
)
NEEDED = (("look", {"order": 7}), ("cancel", {"order": 7}))
"""Of most tasks below."""


def test_a_perfect_episode_by_every_measure_of_calls():
    acted = [*turn(("look", 7, "open")), *turn(("cancel", 7, "done"))]
    perfect = episode(HumanMessage("Cancel order 7."), *acted, AIMessage("Order 7 is cancelled."))
    assert known(perfect, steps_and_calls()) == {
        "success": 1.0, "reward": 1.0,
        "tool_selection": 1.0, "argument_accuracy": 1.0, "json_validity": 1.0,
        "steps": 3.0, "calls": 2.0,
        "failed_calls": 0.0, "invalid_calls": 0.0, "unneeded_calls": 0.0, "repeated_calls": 0.0,
    }  # fmt: skip
    assert measure_episode(perfect).failures == ()


def test_tool_selection_counts_needed_calls_whose_tool_was_called_as_often_as_needed():
    needed = (("look", {"order": 7}), ("look", {"order": 8}), ("cancel", {"order": 7}), ("pay", {"order": 8}))
    once = episode(*turn(("look", 7, "open"), ("cancel", 9, "done"), ("cancel", 7, "done")), needed=needed)
    twice = episode(*turn(("look", 7, "open"), ("look", 7, "open"), ("cancel", 7, "done")), needed=needed)
    assert value(once, "tool_selection") == 0.5  # look once of twice, cancel, no pay
    assert value(twice, "tool_selection") == 0.75


def test_where_no_call_is_needed_the_right_selection_is_none():
    assert value(episode(AIMessage("Hello!"), needed=()), "tool_selection") == 1.0
    assert value(episode(*turn(("look", 7, "open")), needed=()), "tool_selection") == 0.0
    assert value(episode(*turn(("look", 7, "open")), needed=None), "tool_selection") is None


def test_argument_accuracy_counts_each_argument_of_the_calls_that_pair():
    needed = (("send", {"to": "Rome", "fast": True, "items": [1, 2]}), ("send", {"to": "Oslo"}))
    args = [{"to": "Rome", "fast": 1, "items": [1.0, 2]}, {"to": "Oslo", "note": "x"}]
    #        right         wrong      right              right         one too many: 3 of 5
    made = episode(*turn(("send", args[0], "ok"), ("send", args[1], "ok")), needed=needed, tools=())
    assert value(made, "argument_accuracy") == 0.6
    assert value(episode(*turn(("look", 7, "open")), needed=(("pay", {}),)), "argument_accuracy") is None


def test_a_call_pairs_with_the_needed_one_that_it_is_most_like():
    needed = (("look", {"order": 7}), ("look", {"order": 8}))
    swapped = episode(*turn(("look", 8, "open"), ("look", 7, "open")), needed=needed)
    assert value(swapped, "argument_accuracy") == 1.0


def test_json_validity_is_the_share_of_calls_that_were_readable_known_and_fitting():
    unreadable = {"name": "look", "args": "{", "id": "c9", "error": "no JSON", "type": "invalid_tool_call"}
    proposal = AIMessage("", tool_calls=[made_call("look", 7, "c1"), made_call("lock", 7, "c2")], id="m1")
    proposal.invalid_tool_calls.append(unreadable)  # pyright: ignore[reportArgumentType]
    misfit = AIMessage("", tool_calls=[{"name": "look", "args": {"order": "x"}, "id": "c3"}], id="m2")
    told = [
        result("c1", "open"),
        result("c2", "there is no tool 'lock'", "unknown_tool"),
        result("c9", "no JSON", "invalid"),
    ]
    messy = episode(proposal, *told, misfit, result("c3", "'x' is not of type 'integer'", "invalid"), met=0)
    assert value(messy, "json_validity") == 0.25
    assert value(messy, "invalid_calls") == 3.0
    assert value(episode(AIMessage("Hi.")), "json_validity") is None
    assert kinds(messy)[:3] == ["invalid_json", "wrong_schema", "unknown_tool"]


def test_a_repeated_call_is_one_that_got_the_same_answer_again():
    twice = [*turn(("look", 7, "open")), *turn(("look", 7, "open"))]
    changed = [*turn(("look", 7, "open")), *turn(("cancel", 7, "done")), *turn(("look", 7, "cancelled"))]
    asked_again = [*turn(("look", 7, "open")), HumanMessage("And now?"), *turn(("look", 7, "open"))]
    late = [*turn(("look", 7, "no result", "timeout")), *turn(("look", 7, "no result", "timeout"))]
    counts = [value(episode(*path), "repeated_calls") for path in (twice, changed, asked_again, late)]
    assert counts == [1.0, 0.0, 0.0, 0.0]


def test_unneeded_calls_go_beyond_the_shortest_solution():
    made = [*turn(("look", 7, "open")), *turn(("look", 7, "open"), ("look", 8, "open")), *turn(("cancel", 7, "done"))]
    assert value(episode(*made), "unneeded_calls") == 2.0
    assert value(episode(*made, needed=None), "unneeded_calls") is None


def test_a_failed_call_is_made_good_by_a_later_one_of_the_same_tool():
    failed, mended = turn(("look", 9, "no order 9", "failed")), turn(("look", 7, "open"))
    other = turn(("cancel", 7, "done"))
    late = turn(("cancel", 8, "no result", "timeout"))
    assert value(episode(*failed, *mended, met=0), "recovery") == 1.0
    assert value(episode(*failed, *other, met=0), "recovery") == 0.0
    assert value(episode(*failed, *late, *mended, met=0), "recovery") == 0.5
    assert value(episode(*failed, *other), "recovery") == 1.0  # the episode succeeded all the same
    assert value(episode(*mended), "recovery") is None


def test_after_a_tool_that_does_not_exist_any_call_that_works_is_a_recovery():
    unknown = turn(("lock", 7, "there is no tool 'lock'", "unknown_tool"))
    assert value(episode(*unknown, *turn(("look", 7, "open")), met=0), "recovery") == 1.0
    assert value(episode(*turn(("look", 7, "open")), *unknown, met=0), "recovery") == 0.0


def test_clarification_counts_only_where_asking_is_due():
    asked = episode(AIMessage("Which order?"), HumanMessage("7"), *turn(("cancel", 7, "done")), due="ask")
    acted = episode(*turn(("cancel", 8, "done")), AIMessage("Done."), due="ask", met=0)
    assert [value(one, "clarification") for one in (asked, acted, replace(acted, due="act"))] == [1.0, 0.0, None]
    assert [value(one, "needless_question") for one in (asked, replace(asked, due="act"), acted)] == [None, 1.0, None]
    assert "should_have_asked" in kinds(acted)


def test_refusal_needs_an_answer_and_no_tool_beyond_the_needed():
    look_only = (("look", {"order": 7}),)
    refused = episode(*turn(("look", 7, "old")), AIMessage("It is too late."), needed=look_only, due="refuse")
    paid = episode(*turn(("look", 7, "old")), *turn(("pay", 7, "paid")), AIMessage("Paid."), needed=look_only, met=0)
    silent = episode(*turn(("look", 7, "old")), needed=look_only, met=0, due="refuse")
    assert [value(one, "refusal") for one in (refused, replace(paid, due="refuse"), silent, paid)] == [1, 0, 0, None]
    assert "should_have_refused" in kinds(replace(paid, due="refuse"))


def test_the_helpdesk_says_what_is_due():
    tasks = make_tasks("heldout", 60)
    due = {(task.kind, task.due) for task in tasks if task.due != "act"}
    assert due == {("cancel_unnamed", "ask"), ("refund_if_allowed", "refuse")}
    refusing = next(task for task in tasks if task.due == "refuse")
    assert make_finished("t1", [], task=refusing, judged=Judged(1, 1)).due == "refuse"


def test_trajectories_match_in_four_modes():
    look, cancel, pay = ("look", 7, "open"), ("cancel", 7, "done"), ("pay", 7, "paid")
    paths = {"the same": [look, cancel], "turned": [cancel, look], "more": [look, cancel, pay], "less": [look]}
    modes = ("match_strict", "match_unordered", "match_subset", "match_superset")
    found = {name: [value(episode(*turn(*path)), mode) for mode in modes] for name, path in paths.items()}
    assert found == {
        "the same": [1, 1, 1, 1],
        "turned":   [0, 1, 1, 1],
        "more":     [0, 0, 0, 1],
        "less":     [0, 0, 1, 0],
    }  # fmt: skip
    assert value(episode(*turn(look), needed=None), "match_subset") is None


def test_groundedness_is_the_share_of_claims_that_somebody_had_said_before():
    told = [
        HumanMessage("Order O7, please, for anna@x.org."),
        *turn(("look", 7, '{"amount": 1200.5, "date": "2024-05-20", "at": "15:30", "item": "blue chair"}')),
    ]
    answer = 'O7 ("Blue chair") of May 20th costs $1,200.50 at 3:30 PM, or 1,300 with O8 by bob@x.org on 2024-05-21.'
    #         yes  yes          yes             yes          yes          no         no   no           no
    made = episode(*told, AIMessage(answer, id="m9"))
    assert value(made, "groundedness") == 5 / 9
    assert [failure.text for failure in measure_episode(made).failures] == [
        f"{words} occurs in nothing it was told"
        for words in ("address 'bob@x.org'", "date '2024-05-21'", "id 'O8'", "number '1,300'")
    ]
    assert {failure.message for failure in measure_episode(made).failures} == {"m9"}


def test_times_agree_with_and_without_am_and_pm_and_dates_with_and_without_a_year():
    told = HumanMessage("At 15:30, not at 9:15 pm, on 2024-05-20 or June 3.")
    times = {"3:30 p.m.": 1, "3:30 PM": 1, "3:30": 1, "3:30 am": 0, "21:15": 1, "9:15 AM": 0}
    dates = {"May 20": 1, "20th of May": 1, "May 20, 2023": 0, "June 3, 2024": 1, "3 July": 0}
    said = {**times, **dates}
    assert {words: value(episode(told, AIMessage(f"It is {words}.")), "groundedness") for words in said} == said


def test_what_is_heard_after_an_answer_does_not_ground_it():
    assert value(episode(AIMessage("It is 42."), HumanMessage("42?")), "groundedness") == 0.0


def test_an_answer_without_numbers_or_quotes_claims_nothing():
    assert value(episode(AIMessage("1. Done.\n2. Gladly.")), "groundedness") is None


def test_the_system_prompt_grounds_claims_wherever_it_was_noted():
    answer = AIMessage("Within 30 days.", response_metadata={"system": "Refunds: thirty (30) days."})
    assert value(episode(answer), "groundedness") == 1.0


def test_tokens_seconds_and_cost_are_summed_over_the_model_calls():
    first = spoken(("look", 7), tokens=(100, 10), seconds=2.0, cached=40)
    last = AIMessage("Done.", usage_metadata=usage(130, 5), response_metadata={"version": "big", "seconds": 1.0})
    results = [result("c1", "open", seconds=0.25), result("c2", "open", seconds=0.75)]
    first.tool_calls.append(made_call("look", 8, "c2"))
    table = Prices({"bi?": Price(prompt=10, completion=100, cached=1)})
    measured = measure_episode(episode(first, *results, last), prices=table)
    assert {name: measured.values[name] for name in ("sampled_tokens", "prompt_tokens")} == {
        "sampled_tokens": 15.0,
        "prompt_tokens": 230.0,
    }
    assert measured.values["model_seconds"] == 3.0
    assert measured.values["tool_seconds"] == 1.0
    assert measured.values["episode_seconds"] == 3.75  # tools of one turn run at once
    assert measured.samples == {"model_call": (2.0, 1.0), "tool_call": (0.25, 0.75), "episode": (3.75,)}
    # 60 fresh, 40 cached, 10 sampled; 130 fresh, 5 sampled: 600 + 40 + 1000 + 1300 + 500 millionths
    assert measured.values["cost_usd"] == pytest.approx(0.00344)


def test_what_nobody_recorded_is_none_and_a_model_without_a_price_is_named():
    silent = episode(*turn(("look", 7, "open")), AIMessage("Done.", response_metadata={"version": "big"}))
    measured = measure_episode(silent, prices=Prices({"small": Price(prompt=1, completion=1)}))
    for name in ("sampled_tokens", "prompt_tokens", "model_seconds", "tool_seconds", "episode_seconds", "cost_usd"):
        assert measured.values[name] is None, name
    assert measured.unpriced == ("a model without a name", "big")


def test_tokens_are_read_off_the_trace_where_no_usage_is_noted():
    trace = Trace(version="v", prompt_ids=(1, 2, 3), sampled_ids=(4, 5), logprobs=(0.0, 0.0), before=10)
    made = episode(AIMessage("Hi.", response_metadata={"trace": write_trace(trace)}))
    assert (value(made, "prompt_tokens"), value(made, "sampled_tokens")) == (13.0, 2.0)


def test_a_tool_counts_its_calls_and_what_became_of_them():
    made = episode(
        *turn(("look", 9, "no order", "failed", 0.5)), *turn(("look", 7, "open", "result", 0.25)),
        *turn(("look", 7, "open")), *turn(("lock", 7, "no tool", "unknown_tool")),
    )  # fmt: skip
    assert measure_episode(made).tools == {
        "look": {"calls": 3, "failed": 1, "invalid": 0, "repeated": 1, "timed": 2, "seconds": 0.75},
        "lock": {"calls": 1, "failed": 0, "invalid": 1, "repeated": 0, "timed": 0, "seconds": 0.0},
    }


def test_a_crash_that_left_nothing_is_a_failure_and_applies_to_nothing_else():
    crashed = measure_episode(Finished("t1", status="failed"))
    assert {name: found for name, found in crashed.values.items() if found is not None} == {"success": 0, "reward": 0}
    assert [(failure.kind, failure.message) for failure in crashed.failures] == [("crashed", None)]


def test_nobody_judged_is_not_a_failure():
    unjudged = measure_episode(episode(AIMessage("Hello!"), met=None, needed=None))
    assert (unjudged.values["success"], unjudged.values["reward"], unjudged.failures) == (None, None, ())


def test_the_measures_survive_json():
    made = episode(*turn(("look", 9, "no order 9", "failed", 0.5)), AIMessage("Order 8 it is.", id="m1"), met=0)
    measured = measure_episode(made)
    assert measured.failures
    assert Measured.from_json(measured.as_json()) == measured


def test_every_metric_says_what_it_is_and_every_value_is_a_metric():
    names = [metric.name for metric in METRICS]
    assert len(names) == len({*names})
    assert {*measure_episode(episode()).values} == {metric.name for metric in METRICS if metric.how == "mean"}
    assert all(metric.about.endswith((".", ")")) and metric.unit for metric in METRICS)


made_calls = st.lists(
    st.tuples(
        st.sampled_from(["look", "cancel", "pay", "lock"]),
        st.integers(6, 8),
        st.sampled_from(["open", "order 7", "no"]),
        st.sampled_from(["result", "failed", "timeout", "invalid", "unknown_tool", "rejected", "responded"]),
    ),
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(made_calls, max_size=4),
    st.text(alphabet='017,.: -/"aO?\nMayſ٣½“e', max_size=30),
    st.sampled_from([None, (), NEEDED]),
    st.sampled_from(["act", "ask", "refuse", None]),
    st.sampled_from(["done", "paused", "failed", "truncated"]),
    st.sampled_from([None, 0, 1]),
)
def test_shares_stay_between_0_and_1_and_no_failed_episode_is_without_a_kind(
    turns: Any, answer: str, needed: Any, due: Any, status: Any, met: Any
):
    messages = [message for calls in turns for message in turn(*calls)]
    made = episode(*messages, AIMessage(answer), needed=needed, due=due, status=status, met=met)
    measured = measure_episode(made)
    shares = [measured.values[metric.name] for metric in METRICS if metric.unit == "share" and metric.how == "mean"]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert measured.values["success"] != 0.0 or measured.failures
    assert all(len(failure.text) <= 200 for failure in measured.failures)


def episode(*messages: BaseMessage, **known: Any) -> Finished:
    """An episode that succeeded unless ``met`` says otherwise."""
    last = messages[-1] if messages else None
    said = last.text if isinstance(last, AIMessage) and not last.tool_calls else ""
    settled = {"met": 1, "needed": NEEDED, "tools": TOOLS, **known}
    return Finished("t1", messages, answer=said, conditions=1, **settled)


def turn(*calls: tuple[Any, ...]) -> list[BaseMessage]:
    """One message of the model and what came back: (tool, order or arguments, answer, kind, seconds)."""
    made = [made_call(name, args, f"c{place}") for place, (name, args, *_) in enumerate(calls)]
    return [
        AIMessage("", tool_calls=made),
        *(result(f"c{place}", *rest) for place, (_, _, *rest) in enumerate(calls)),
    ]


def made_call(name: str, args: Any, id_: str) -> Any:
    return {"name": name, "args": args if isinstance(args, dict) else {"order": args}, "id": id_, "type": "tool_call"}


def result(id_: str, text: str, kind: str = "result", seconds: float | None = None) -> ToolMessage:
    notes = {"kind": kind} if seconds is None else {"kind": kind, "duration_s": seconds}
    status = "success" if kind in ("result", "responded") else "error"
    return ToolMessage(text, tool_call_id=id_, status=status, additional_kwargs=notes)


def spoken(*calls: tuple[str, Any], tokens: tuple[int, int], seconds: float, cached: int) -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[made_call(name, args, f"c{place}") for place, (name, args) in enumerate(calls, 1)],
        usage_metadata={**usage(*tokens), "input_token_details": {"cache_read": cached}},
        response_metadata={"version": "big", "seconds": seconds},
    )


def usage(prompt: int, sampled: int) -> Any:
    return {"input_tokens": prompt, "output_tokens": sampled, "total_tokens": prompt + sampled}


def value(finished: Finished, name: str) -> float | None:
    return measure_episode(finished).values[name]


def kinds(finished: Finished) -> list[str]:
    return [failure.kind for failure in measure_episode(finished).failures]


def known(finished: Finished, names: list[str]) -> dict[str, float | None]:
    values = measure_episode(finished).values
    return {name: values[name] for name in names}


def steps_and_calls() -> list[str]:
    names = [metric.name for metric in METRICS if metric.how == "mean"]
    return names[: names.index("recovery")]
