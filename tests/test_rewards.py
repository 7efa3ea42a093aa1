"""Every reward by itself: numbers that can be checked by hand, what an empty episode gives, and what is refused."""

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.errors import BadReward
from threadmill.training.rewards.answer import answer_match, json_answer, last_number
from threadmill.training.rewards.compose import Rewards, Scored, score
from threadmill.training.rewards.economy import efficiency, length, steps
from threadmill.training.rewards.end_state import end_state, exit_code, partial
from threadmill.training.rewards.finished import Finished, Reasoned, make_finished
from threadmill.training.rewards.known import REWARDS
from threadmill.training.rewards.made import made_calls
from threadmill.training.rewards.safety import Forbidden, safety
from threadmill.training.rewards.tool_calls import tool_success, valid_calls

LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
    },
}


def turn(*calls: tuple[str, dict[str, Any], str | None], first: int = 0) -> list[BaseMessage]:
    """One turn of the model: its calls, and what our tool node noted of each; None is no answer at all."""
    made = [{"name": name, "args": args, "id": f"c{first + n}"} for n, (name, args, _) in enumerate(calls)]
    results = [
        ToolMessage("…", tool_call_id=f"c{first + n}", name=name, additional_kwargs={"kind": kind})
        for n, (name, _, kind) in enumerate(calls)
        if kind is not None
    ]
    return [AIMessage("", tool_calls=made), *results]


def episode(*messages: BaseMessage, **known: Any) -> Finished:
    return Finished("t1", tuple(messages), **known)


LOOKED = ("look", {"order": 7}, "result")
FAILED = ("look", {"order": 8}, "failed")


def test_end_state_is_all_or_nothing_and_partial_is_the_share():
    assert [end_state(episode(met=met, conditions=3)) for met in (0, 2, 3)] == [0.0, 0.0, 1.0]
    assert [partial(episode(met=met, conditions=4)) for met in (0, 1, 4)] == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("reward", [end_state, partial])
def test_without_a_judgement_a_failed_episode_earns_nothing_and_any_other_is_refused(reward: Any):
    assert reward(episode(status="failed")) == 0.0
    with pytest.raises(BadReward, match=f"thread 't1' has no judgement .* reward '{reward.__name__}' needs"):
        reward(episode())


@pytest.mark.parametrize(
    ("answer", "expected", "exact", "number", "contains"),
    [
        ("42", "42", 1, 1, 1),
        ("**Forty two.**", "forty  TWO", 1, None, 1),
        ("It is 42 km.", "42", 0, 1, 1),
        ("First 7, then 42", "42", 0, 1, 1),
        ("42, not 7", "42", 0, 0, 1),
        ("4.2e1", "42.0", 0, 1, 0),
        ("$1,234.50", "1234.5", 0, 1, 0),
        ("3/4", "0.75", 0, 1, 0),
        ("\N{MINUS SIGN}3", "-3", 0, 1, 0),
        ("423", "42", 0, 0, 0),
        ("", "42", 0, 0, 0),
        ("４２", "42", 1, 1, 1),  # full-width digits
    ],
)
def test_answer_match(answer: str, expected: str, exact: int, number: int | None, contains: int):
    said = episode(answer=answer, expected=expected)
    assert (answer_match(said), answer_match(said, mode="contains")) == (exact, contains)
    if number is not None:
        assert answer_match(said, mode="number") == number


def test_a_number_may_be_off_by_a_share_of_what_is_expected():
    near = episode(answer="about 101", expected="100")
    assert [answer_match(near, mode="number", tolerance=share) for share in (0.0, 0.009, 0.01)] == [0.0, 0.0, 1.0]


def test_answer_match_refuses_what_it_cannot_compare():
    with pytest.raises(BadReward, match="has no expected answer"):
        answer_match(episode(answer="42"))
    with pytest.raises(BadReward, match="expects 'blue', which holds no number; use mode 'exact'"):
        answer_match(episode(answer="42", expected="blue"), mode="number")
    assert answer_match(episode(status="failed")) == 0.0


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "so {} it is", "{}.", "({})", "= {} kg"]))
@settings(max_examples=40)
def test_a_number_is_found_whatever_stands_around_it(number: int, around: str):
    assert last_number(around.format(number)) == Fraction(number)
    assert last_number(around.format(f"{number:,}")) == Fraction(number)


def test_json_answer():
    order = {"type": "object", "required": ["order"]}
    said = ['{"order": 7}', '```json\n{"order": 7}\n```', '{"other": 7}', "order 7", "", '{"order": NaN}']
    assert [json_answer(episode(answer=text), schema=order) for text in said] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert [json_answer(episode(answer=text)) for text in said] == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_calls_are_found_with_what_became_of_them():
    edit = {"by": "ann", "at": "", "proposal": {"tool_calls": [{"name": "pay", "args": {"amount": 9}, "id": "c5"}]}}
    messages = [
        *turn(LOOKED, FAILED),
        *turn(("look", {}, "invalid"), ("lok", {}, "unknown_tool"), ("look", {"order": 9}, None), first=2),
        AIMessage(
            "",
            tool_calls=[{"name": "pay", "args": {"amount": 2}, "id": "c5"}],
            response_metadata={"edit": edit},
        ),
        ToolMessage("paid", tool_call_id="c5", additional_kwargs={"kind": "result"}),
        AIMessage("", id="m4", invalid_tool_calls=[{"name": "look", "args": "{", "id": None, "error": "cut off"}]),
        ToolMessage("unreadable", tool_call_id="m4:0", additional_kwargs={"kind": "invalid"}),
    ]
    assert [(made.turn, made.name, dict(made.args), made.became) for made in made_calls(messages)] == [
        (0, "look", {"order": 7}, "result"),
        (0, "look", {"order": 8}, "failed"),
        (1, "look", {}, "invalid"),
        (1, "lok", {}, "unknown_tool"),
        (1, "look", {"order": 9}, "unanswered"),
        (2, "pay", {"amount": 9}, "edited"),
        (3, "look", {}, "invalid"),
    ]


def test_calls_with_one_id_in_two_turns_are_told_apart():
    assert [made.became for made in made_calls([*turn(LOOKED), *turn(FAILED)])] == ["result", "failed"]


def test_other_agents_note_no_kinds_so_the_status_decides():
    calls = [{"name": "look", "args": {}, "id": "c1"}, {"name": "look", "args": {}, "id": "c2"}]
    results = [ToolMessage("x", tool_call_id="c1"), ToolMessage("no", tool_call_id="c2", status="error")]
    assert [made.became for made in made_calls([AIMessage("", tool_calls=calls), *results])] == ["result", "failed"]


def test_tool_success_is_the_share_of_calls_that_worked():
    kinds = ["result", "responded", "failed", "timeout", "rejected", "invalid", "unknown_tool", None]
    assert tool_success(episode(*turn(*(("look", {"order": 7}, kind) for kind in kinds)))) == 2 / 8


def test_valid_calls_is_the_share_that_could_be_read_and_fits():
    kinds = ["result", "failed", "rejected", None, "invalid", "unknown_tool"]
    calls = [("look", {"order": 7}, kind) for kind in kinds]
    assert valid_calls(episode(*turn(*calls))) == 4 / 6


def test_valid_calls_looks_at_the_schemas_where_nobody_noted_kinds():
    good, wrong, unknown = {"order": 7}, {"order": "seven"}, {"order": 7}
    calls = [("look", good, "result"), ("look", wrong, "result"), ("pay", unknown, "result")]
    assert valid_calls(episode(*turn(*calls), tools=(LOOK,))) == 1 / 3


@pytest.mark.parametrize("reward", [tool_success, valid_calls])
def test_an_episode_without_calls_earns_a_share_only_if_none_was_needed(reward: Any):
    said = AIMessage("Hello.")
    assert reward(episode()) == 0.0
    assert reward(episode(said)) == 0.0
    assert reward(episode(said, needed=(("look", {"order": 7}),))) == 0.0
    assert reward(episode(said, needed=())) == 1.0


def test_efficiency_is_the_shortest_solution_over_the_calls_made():
    two = (("look", {"order": 7}), ("look", {"order": 8}))
    known = {"met": 1, "conditions": 1, "needed": two}
    assert efficiency(episode(*turn(LOOKED, LOOKED), **known)) == 1.0
    assert efficiency(episode(*turn(LOOKED, FAILED, LOOKED, LOOKED), **known)) == 0.5
    assert efficiency(episode(*turn(LOOKED), **known)) == 1.0  # shorter than the shortest known
    assert efficiency(episode(*turn(LOOKED, LOOKED), **{**known, "met": 0})) == 0.0
    assert efficiency(episode(AIMessage("Hi."), needed=(), met=1, conditions=1)) == 1.0
    assert efficiency(episode(*turn(LOOKED), needed=(), met=1, conditions=1)) == 0.0
    assert efficiency(episode(status="failed", needed=two)) == 0.0
    with pytest.raises(BadReward, match=r"needs the shortest solution of task 'simple-1' .* use 'steps'"):
        efficiency(episode(task="simple-1", met=1, conditions=1))


@given(st.integers(0, 4), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=40)
def test_one_more_call_never_makes_an_episode_more_efficient(shortest: int, made: int, more: int):
    known = {"met": 1, "conditions": 1, "needed": (("look", {"order": 7}),) * shortest}
    few = efficiency(episode(*turn(*[LOOKED] * made), **known))
    many = efficiency(episode(*turn(*[LOOKED] * (made + more)), **known))
    assert 0 <= many <= few <= 1


def test_steps_are_free_within_the_budget_and_cost_beyond():
    calls = [message for _ in range(4) for message in turn(LOOKED)]
    solved = episode(*calls, met=1, conditions=1)
    assert [steps(solved, budget=budget) for budget in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert steps(episode(*calls, met=0, conditions=1), budget=9) == 0.0
    assert steps(episode(met=1, conditions=1), budget=9) == 0.0
    with pytest.raises(BadReward, match="budget of 0"):
        steps(solved, budget=0)


def test_length_is_the_soft_overlong_punishment_of_dapo():
    tokens = (0, 15, 16, 18, 20, 21, 1000)
    given_ = [length(episode(sampled_tokens=count), max_tokens=20, buffer=4) for count in tokens]
    assert given_ == [0.0, 0.0, 0.0, -0.5, -1.0, -1.0, -1.0]
    with pytest.raises(BadReward, match="buffer 30 of max_tokens 20"):
        length(episode(), max_tokens=20, buffer=30)


def test_safety_counts_forbidden_tools_and_arguments_by_pattern():
    calls = episode(*turn(("drop_all", {}, "unknown_tool"), ("pay", {"amount": 1200}, "result"), LOOKED))
    large = Forbidden("pay", "amount", re.compile(r"^\d{4,}$"))
    assert safety(calls) == 0.0
    assert safety(calls, forbidden=["drop_*"]) == -1.0
    assert safety(calls, forbidden=["drop_*", large], each=0.25) == -0.5
    assert safety(calls, forbidden=["drop_*", large, "*"], each=0.25) == -0.75  # a call counts once
    assert safety(episode(), forbidden=["*"]) == 0.0


def test_safety_counts_calls_that_a_person_refused():
    refused = episode(*turn(("pay", {"amount": 9}, "rejected"), LOOKED))
    assert (safety(refused, each=0.5), safety(refused, refused=False)) == (-0.5, 0.0)


PAID = ("pay", {"amount": 9}, "result")


def test_a_guarded_call_needs_an_approval():
    alone = [HumanMessage("Pay 9."), *turn(PAID)]
    assert safety(episode(*alone)) == 0.0
    assert safety(episode(*alone), approval=["pay"]) == -1.0
    assert safety(episode(*alone, approved=frozenset({"c0"})), approval=["pay"]) == 0.0
    assert (
        safety(episode(HumanMessage("Pay 9."), *turn(("pay", {}, "invalid"))), approval=["pay"]) == 0.0
    )  # did not run


@pytest.mark.parametrize(
    ("reply", "penalty"), [("Yes, go ahead.", 0.0), ("No, don't. OK?", -1.0), ("What does it cost?", -1.0)]
)
def test_the_users_consent_is_an_approval(reply: str, penalty: float):
    asked = [HumanMessage("Pay 9."), AIMessage("Shall I pay 9?"), HumanMessage(reply), *turn(PAID)]
    assert safety(episode(*asked), approval=["pay"]) == penalty


def test_the_first_words_of_the_user_are_no_consent():
    assert safety(episode(HumanMessage("Yes, pay 9."), *turn(PAID)), approval=["pay"]) == -1.0


def test_exit_code():
    ran = [
        *turn(("python", {}, "result")),
        ToolMessage("Traceback", tool_call_id="c1", artifact={"exit_code": 1}),
        ToolMessage("ok", tool_call_id="c2", additional_kwargs={"returncode": 0}),
    ]
    assert [make_finished("t1", ran[:count]).exit_code for count in (2, 3, 4)] == [None, 1, 0]
    assert [exit_code(make_finished("t1", ran[:count])) for count in (0, 2, 3, 4)] == [0.0, 0.0, 0.0, 1.0]


PARAMETERS: dict[str, dict[str, Any]] = {"steps": {"budget": 3}, "length": {"max_tokens": 20, "buffer": 5}}
PENALTIES = {"length", "safety"}


@st.composite
def episodes(draw: st.DrawFn) -> Finished:
    kinds = st.sampled_from(["result", "failed", "timeout", "invalid", "unknown_tool", "rejected", "responded", None])
    calls = st.tuples(st.sampled_from(["look", "pay"]), st.just({"order": 1}), kinds)
    messages = [
        message for turns in draw(st.lists(st.lists(calls, max_size=3), max_size=4)) for message in turn(*turns)
    ]
    conditions = draw(st.integers(1, 5))
    return episode(
        *messages,
        status=draw(st.sampled_from(["done", "paused", "failed", "truncated"])),
        met=draw(st.integers(0, conditions)),
        conditions=conditions,
        answer=draw(st.text(max_size=8)),
        expected=draw(st.sampled_from(["7", "{}", "seven 7"])),
        needed=(("look", {"order": 1}),) * draw(st.integers(0, 3)),
        tools=draw(st.sampled_from([(), (LOOK,)])),
        exit_code=draw(st.sampled_from([None, 0, 1])),
        sampled_tokens=draw(st.integers(0, 50)),
    )


@given(episodes())
@settings(max_examples=60)
def test_every_reward_stays_in_its_range(one: Finished):
    rewards = Rewards(dict.fromkeys(REWARDS, 1.0), PARAMETERS)
    (scored,) = score([one], rewards)
    for name, value in scored.components.items():
        low, high = (-1, 0) if name in PENALTIES else (0, 1)
        assert low <= value <= high, name
    assert scored.total == pytest.approx(sum(scored.components.values()))


def test_an_empty_episode_earns_nothing_by_any_reward():
    rewards = Rewards(dict.fromkeys(REWARDS, 1.0), PARAMETERS)
    (scored,) = score([Finished("t1", status="failed", needed=())], rewards)
    assert scored.components == dict.fromkeys(REWARDS, 0.0)


def test_the_total_is_the_weighted_sum_with_the_components_beside_it():
    one = episode(*turn(LOOKED, FAILED), met=1, conditions=4, sampled_tokens=20)
    rewards = Rewards(
        {"partial": 2.0, "tool_success": 0.5, "length": 0.1, "end_state": 0.0}, {"length": PARAMETERS["length"]}
    )
    (scored,) = score([one], rewards)
    assert scored.components == {"partial": 0.25, "tool_success": 0.5, "length": -1.0, "end_state": 0.0}
    assert scored.total == pytest.approx(2 * 0.25 + 0.5 * 0.5 - 0.1)


def test_rewards_of_a_group_and_your_own_come_with_their_reasons():
    def shortest(group: Any) -> list[float]:
        best = min(one.sampled_tokens for one in group)
        return [Reasoned(one.sampled_tokens == best, f"{one.sampled_tokens} tokens") for one in group]

    group = [Finished("a", sampled_tokens=3), Finished("b", sampled_tokens=5)]
    assert score(group, Rewards({"shortest": 2.0}, own={"shortest": shortest})) == [
        Scored(2.0, {"shortest": 1.0}, {"shortest": "3 tokens"}),
        Scored(0.0, {"shortest": 0.0}, {"shortest": "5 tokens"}),
    ]
    assert score([], Rewards({"shortest": 2.0}, own={"shortest": shortest})) == []


@pytest.mark.parametrize(
    ("weights", "parameters", "words"),
    [
        ({"end_stat": 1.0}, {}, "no reward 'end_stat'; did you mean 'end_state'"),
        ({"qqq": 1.0}, {}, "no reward 'qqq'; there are end_state, partial"),
        ({"partial": float("nan")}, {}, "weight of reward 'partial' is nan"),
        ({"partial": "1"}, {}, "weight of reward 'partial' is '1'"),
        ({}, {}, "no rewards; give at least one weight"),
        ({"partial": 1.0}, {"steps": {"budget": 3}}, "'steps' has parameters but no weight"),
        ({"steps": 1.0}, {}, "'steps' needs its parameter 'budget'"),
        ({"steps": 1.0}, {"steps": {"buget": 3}}, "no parameter 'buget'; did you mean 'budget'"),
        ({"steps": 1.0}, {"steps": {"budget": "few"}}, "'steps' cannot take budget = 'few'"),
        (
            {"safety": 1.0},
            {"safety": {"forbidden": [{"tool": "a", "matches": "("}]}},
            "forbidden = .*Forbidden.matches",
        ),
        ({"judge": 1.0}, {}, "'judge' asks a model; open it with open_rewards"),
        ({"nowhere.py:short": 1.0}, {}, "no reward 'nowhere.py:short'"),
    ],
)
def test_a_wrong_table_is_refused_before_anything_is_scored(weights: Any, parameters: Any, words: str):
    with pytest.raises(BadReward, match=words):
        Rewards(weights, parameters)


def test_a_reward_that_gives_no_number_for_each_episode_is_refused():
    group = [Finished("a"), Finished("b")]
    with pytest.raises(BadReward, match="'mine' gave 1 numbers for 2 episodes"):
        score(group, Rewards({"mine": 1.0}, own={"mine": lambda group: [1.0]}))
    with pytest.raises(BadReward, match="'mine' gave nan for thread 'b'"):
        score(group, Rewards({"mine": 1.0}, own={"mine": lambda group: [1.0, float("nan")]}))
