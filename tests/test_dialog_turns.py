"""Turns of FunctionChat's dialogs: what is due in each kind, and what the policy is given before it answers.

Name a folder with ``functionchat/Dialog.jsonl.gz`` in ``THREADMILL_SAMPLES`` to check all 200 turns.
"""

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadEvaluation, UnknownSuite
from threadmill.nodes.bound_tools import tools_at
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.branches import read_branches
from threadmill.training.episode import measure
from threadmill.training.evaluation.measured import measure_episode
from threadmill.training.rollout import play
from threadmill.training.worlds.calling.dialog import make_functionchat
from threadmill.training.worlds.calling.suite import Task
from threadmill.training.worlds.calling.words import asks, declines, new_facts, numbers_in, says, stray_numbers, tells

EXCERPT = Path(__file__).parent / "data/functionchat.sample.jsonl.gz"
WHOLE = Path(os.environ.get("THREADMILL_SAMPLES", "no folder")) / "functionchat/Dialog.jsonl.gz"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def turn(dialog: int, number: int) -> Task:
    (task,) = [
        task for task in make_functionchat(str(EXCERPT)).everything if task.id == f"functionchat-{dialog}-{number}"
    ]
    return task


def call(name: str, /, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "c1"}])


def references(file: Path) -> dict[str, AIMessage]:
    """Task to the answer that the benchmark gives."""
    found = {}
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        dialog = json.loads(line)
        for said in dialog["turns"]:
            told = said["ground_truth"]
            functions = [asked["function"] for asked in told.get("tool_calls") or []]
            found[f"functionchat-{dialog['dialog_num']}-{said['turn_num']}"] = (
                call(functions[0]["name"], **json.loads(functions[0]["arguments"]))
                if functions
                else AIMessage(told["content"])
            )
    return found


def judged_by_kind(file: Path) -> tuple[Counter[str], Counter[str]]:
    """By kind: right answers that pass, and answers of another sort (words for a call, a call for words) that fail."""
    suite, told = make_functionchat(str(file)), references(file)
    right, wrong = Counter[str](), Counter[str]()
    for task in suite.everything:
        other = AIMessage("네, 알겠습니다.") if task.needed else call(task.conversation.tools[0]["function"]["name"])
        right[task.tier] += task.check(told[task.id]).success
        wrong[task.tier] += not task.check(other).success
    return right, wrong


def test_the_published_answers_pass_and_those_of_another_sort_do_not() -> None:
    turns = {"call": 5, "completion": 5, "slot": 2, "relevance": 1}
    assert judged_by_kind(EXCERPT) == (turns, turns)


@pytest.mark.skipif(not WHOLE.is_file(), reason="no folder of samples is named")
def test_the_published_answers_of_all_200_turns_pass() -> None:
    turns = {"call": 70, "completion": 71, "slot": 36, "relevance": 23}
    assert judged_by_kind(WHOLE) == (turns, turns)


def test_a_call_may_be_written_as_the_benchmark_accepts_it() -> None:
    split = turn(6, 1)
    assert split.needed == (("calculate_bill_split", {"bill_total": 61500, "num_people": 5}),)
    assert split.check(call("calculate_bill_split", bill_total=61500.0, num_people=5)).success
    assert not split.check(call("calculate_bill_split", bill_total=61500, num_people=4)).success
    assert not split.check(call("calculate_bill_split", bill_total=61500)).success
    assert not split.check(call("calculate_tip", bill_total=61500, num_people=5)).success


def test_text_is_compared_loosely_unless_the_benchmark_accepts_nothing_else(tmp_path: Path) -> None:
    row = json.loads(gzip.decompress(EXCERPT.read_bytes()).decode().splitlines()[0])
    assert turn(1, 2).check(call("create_user", name="john", email="john@example.com", password="PASSWORD123")).success
    row["turns"][1]["acceptable_arguments"] = "Only ground truth is allowed."
    (tmp_path / "strict.jsonl").write_text(json.dumps(row))
    strict = make_functionchat(str(tmp_path / "strict.jsonl")).everything[0]
    assert strict.check(call("create_user", name="John", email="john@example.com", password="password123")).success
    assert not strict.check(call("create_user", name="john", email="john@example.com", password="PASSWORD123")).success


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("61,500원을 5명이 나누면 1인당 12,300원입니다.", 5),
        ("한 사람이 12300원씩 내면 됩니다.", 5),
        ("한 사람이 1만 2,300원씩 내면 됩니다.", 5),
        ("계산했습니다.", 4),  # does not say what came out
        ("한 사람이 12,400원씩 내면 됩니다.", 3),  # nor is that so
        ("계산할 수 없습니다.", 3),  # and it could
        ("몇 명인가요?", 3),
        (f"1{'0' * 5000}만원, 0.{'0' * 5000}1", 3),
        ("", 0),
    ],
    ids=lambda text: str(text)[:12],
)
def test_a_completion_tells_what_the_tool_gave_back_and_nothing_else(text: str, met: int) -> None:
    judged = turn(6, 2).check(AIMessage(text))
    assert (judged.met, judged.conditions) == (met, 5)


def test_what_is_missing_is_asked_for_and_what_no_tool_can_do_is_declined() -> None:
    assert turn(1, 1).check(AIMessage("What are your name, e-mail and password?")).success
    assert turn(1, 1).check(AIMessage("이름, 이메일과 비밀번호를 알려 주세요")).success
    assert not turn(1, 1).check(AIMessage("계정을 만들었습니다.")).success
    assert turn(6, 3).check(AIMessage("죄송하지만 잔액은 조회할 수 없어요.")).success
    assert turn(6, 3).check(AIMessage("Sorry, I can’t look that up.")).success
    assert not turn(6, 3).check(AIMessage("잔액은 12,000원입니다.")).success


def test_words_and_numbers_are_seen_and_not_understood() -> None:
    assert all(map(asks, ["체중을 알려주세요.", "체중은?", "Please give your weight.", "I need your weight."]))
    assert not any(map(asks, ["체중을 알려드렸습니다.", "Your weight is 60 kg."]))
    assert all(map(declines, ["기능은 없습니다.", "지원하지 않습니다.", "I cannot.", "Sorry, no."]))
    assert not any(map(declines, ["없어서 걱정이군요.", "삭제했습니다.", "I can."]))
    assert numbers_in("2024-05-19 19:05, -3도, 1,717,782원") == [2024, 5, 19, 19, 5, -3, 1717782]
    assert tells("12,300원입니다. 더 필요한 것이 있나요?")
    assert not tells("총 금액이 얼마인가요?")
    told = "두 곡입니다: 밤 - 잔나비, 낮 - 아이유. 3.9분입니다."
    results = ['{"songs": [{"title": "밤 ", "singer": "잔나비"}, {"singer": "아이유"}], "minutes": 3.94, "note": null}']
    assert new_facts(results, "아이유 노래", told) == ["잔나비", Decimal("3.94")]
    assert says("약 3.9분", Decimal("3.94"))
    assert not says("약 4.1분", Decimal("3.94"))
    assert stray_numbers("1. 밤\n2. 낮, 모두 7분", ["3.94"]) == [7]


def test_what_was_said_before_is_given_and_only_the_answer_is_trained(store: Store, tiny_tokenizer: Any) -> None:
    suite, told = make_functionchat(str(EXCERPT)), references(EXCERPT)
    task = turn(6, 3)
    model = ScriptedModel(lambda messages: told[f"functionchat-6-{1 + len(messages) // 2}"])
    (played,) = play(store, suite, [task], {"calling.think": Slot.fixed("calling.think", model, "s")}, trials=1, seed=0)
    assert (played.finished.met, played.finished.conditions, played.finished.status) == (2, 2, "done")
    said = read_messages(store, "functionchat-6-3-t0")
    assert [type(message) for message in said] == [
        HumanMessage, AIMessage, ToolMessage, AIMessage, HumanMessage, AIMessage,
    ]  # fmt: skip
    assert [message.response_metadata.get("canned", False) for message in said if message.type == "ai"] == [
        True, True, False,
    ]  # fmt: skip
    assert tools_at(said) == [*task.conversation.tools]
    (branch,) = read_branches(store, "functionchat-6-3-t0", task=None, labels=[], renderer=Renderer(tiny_tokenizer))
    measured = measure_episode(played.finished)
    assert {name: measured.values[name] for name in ("steps", "calls", "unneeded_calls", "refusal")} == {
        "steps": 1, "calls": 0, "unneeded_calls": 0, "refusal": 1,
    }  # fmt: skip
    assert (measured.tools, measured.failures, measure(played.finished, 0).steps) == ({}, (), 1)
    assert [span.message for row in branch.trajectories for span in row.spans if span.origin != "given"] == [
        said[-1].id
    ]


def test_what_is_no_dialog_says_where(tmp_path: Path) -> None:
    file = tmp_path / "dialogs.jsonl"
    with pytest.raises(UnknownSuite, match=r"there is no file .* name one with dialogs"):
        make_functionchat(str(file))
    file.write_text('{"tools": [], "turns": [{"turn_num": 1, "type_of_output": "song"}]}\n')
    with pytest.raises(BadEvaluation, match=r"dialogs\.jsonl, line 1, is no dialog .*asks for 'song'"):
        make_functionchat(str(file))
    file.write_text("")
    with pytest.raises(UnknownSuite, match="holds no dialog"):
        make_functionchat(str(file))
    with pytest.raises(UnknownSuite, match="functionchat has no split 'train'"):
        make_functionchat(str(EXCERPT)).tasks("train", 1, 0)
