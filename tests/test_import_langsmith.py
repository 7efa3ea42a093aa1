"""Imports of LangSmith's runs: traces that LangChain's own tracer makes, and the further forms of its documentation."""

import json
from pathlib import Path
from typing import Any

import pytest
from conversations import FILE, Turn, as_turns, conversations, damaged, read_all, read_one, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers.langchain import LangChainTracer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from threadmill.checkpoints.importers import import_files, langsmith
from threadmill.checkpoints.importers.record import BadRow
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store

LOOK = {
    "type": "function",
    "function": {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}},
}
USER = {"role": "user", "content": "Hi"}


class Sink:
    """Takes the runs that a tracer sends."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, Any]] = {}

    def create_run(self, **run: Any) -> None:
        self.update_run(run.pop("id"), **run)

    def update_run(self, run_id: Any, **run: Any) -> None:
        known = self.sent.setdefault(str(run_id), {"id": run_id})
        known.update({key: value for key, value in run.items() if value is not None})

    def runs(self) -> list[dict[str, Any]]:
        """Newest first, as LangSmith lists them."""
        told = json.dumps(list(self.sent.values()), default=lambda one: getattr(one, "model_dump", one.__str__)())
        return json.loads(told)[::-1]


@tool
def look(order: int) -> str:
    """Look it up."""
    if order == 8:
        raise ValueError("no such order")
    return "Sent."


def asks(order: int, id_: str) -> dict[str, Any]:
    return {"name": "look", "args": {"order": order}, "id": id_, "type": "tool_call"}


@pytest.fixture(scope="module")
def trace() -> list[dict[str, Any]]:
    """The runs of an agent that looks up two orders at once and then answers."""
    first = AIMessage("Let me see.", tool_calls=[asks(7, "a"), asks(8, "b")])
    first.additional_kwargs["reasoning_content"] = "Look twice."
    model = GenericFakeChatModel(messages=iter([first, AIMessage("Sent; there is no 8.")]))

    def think(state: MessagesState) -> dict[str, Any]:
        given = [SystemMessage("Be brief."), *state["messages"]]
        return {"messages": [model.bind(tools=[LOOK], model="tiny").invoke(given)]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tool", ToolNode([look], handle_tool_errors=True))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", lambda state: "tool" if state["messages"][-1].tool_calls else END)
    graph.add_edge("tool", "think")
    sink = Sink()
    before = [HumanMessage("Hello"), AIMessage("Hello!"), HumanMessage("Where are orders 7 and 8?")]
    config: Any = {"callbacks": [LangChainTracer(client=sink)], "metadata": {"thread_id": "t1"}}  # type: ignore[arg-type]
    graph.compile(name="helpdesk").invoke({"messages": before}, config)
    return sink.runs()


def test_what_langchain_traces_becomes_a_conversation(trace: list[dict[str, Any]]) -> None:
    record = read_one(langsmith, {"runs": trace})
    turns = as_turns(record.messages)
    assert turns == [
        {"role": "system", "text": "Be brief."},
        {"role": "human", "text": "Hello"},
        {"role": "ai", "text": "Hello!", "calls": [], "reasoning": ""},
        {"role": "human", "text": "Where are orders 7 and 8?"},
        {
            "role": "ai",
            "text": "Let me see.",
            "calls": [("look", {"order": 7}), ("look", {"order": 8})],
            "reasoning": "Look twice.",
        },
        {"role": "tool", "text": "Sent.", "call": 0, "failed": False},
        {"role": "tool", "text": turns[6]["text"], "call": 1, "failed": True},
        {"role": "ai", "text": "Sent; there is no 8.", "calls": [], "reasoning": ""},
    ]
    assert "no such order" in turns[6]["text"]
    # what was said before the trace was trained with the trace that said it
    canned = [m.response_metadata.get("canned", False) for m in record.messages if isinstance(m, AIMessage)]
    assert canned == [True, False, False]
    assert (record.agent, record.model, record.tools, record.task) == ("helpdesk", "tiny", (LOOK,), None)
    root = next(run for run in trace if not run.get("parent_run_id"))
    assert record.thread == f"langsmith-{root['trace_id']}"
    assert record.metadata == {"trace_id": root["trace_id"], "conversation": "t1"}


def test_a_run_that_is_exported_twice_counts_once(trace: list[dict[str, Any]]) -> None:
    root = next(run for run in trace if not run.get("parent_run_id"))
    twice = [{**root, "child_runs": [run for run in trace if run is not root]}, *trace]
    assert as_turns(read_one(langsmith, {"runs": twice}).messages) == as_turns(
        read_one(langsmith, {"runs": trace}).messages
    )


def test_the_root_alone_gives_the_state_without_what_only_the_model_saw(trace: list[dict[str, Any]]) -> None:
    whole = read_one(langsmith, {"runs": trace})
    root = next(run for run in trace if not run.get("parent_run_id"))
    record = read_one(langsmith, root)
    assert as_turns(record.messages) == as_turns(whole.messages)[1:]
    canned = [m.response_metadata.get("canned", False) for m in record.messages if isinstance(m, AIMessage)]
    assert canned == [True, False, False]


def test_what_was_said_twice_is_new_the_second_time() -> None:
    said = [USER, {"role": "assistant", "content": "Hello"}, USER, {"role": "assistant", "content": "Hello again"}]
    root = {"id": "t", "run_type": "chain", "inputs": {"messages": [USER]}, "outputs": {"messages": said}}
    answers = [m for m in read_one(langsmith, root).messages if isinstance(m, AIMessage)]
    assert [m.response_metadata.get("canned", False) for m in answers] == [True, False]


def test_results_that_no_model_was_given_are_kept(trace: list[dict[str, Any]]) -> None:
    *_, last = sorted((run for run in trace if run["run_type"] == "llm"), key=lambda run: run["dotted_order"])
    record = read_one(langsmith, {"runs": [run for run in trace if run["id"] != last["id"]]})
    turns = as_turns(record.messages)
    assert [(t["text"].partition("\n")[0][:13], t["call"], t["failed"]) for t in turns[-2:]] == [
        ("Sent.", 0, False),
        ("ValueError('n", 1, True),
    ]


def test_traces_are_put_together_from_a_file_and_feedback_becomes_labels(
    trace: list[dict[str, Any]], tmp_path: Path
) -> None:
    answer = next(run for run in trace if run["run_type"] == "llm")
    root = next(run for run in trace if not run.get("parent_run_id"))
    told = {
        answer["id"]: {"feedback": [{"key": "user_score", "score": 1, "comment": "quick"}]},
        root["id"]: {"feedback_stats": {"reward": {"n": 2, "avg": 0.5}, "tone": {"n": 1, "avg": 3.0}}},
    }
    other = {"id": "x", "trace_id": "x", "run_type": "chain", "inputs": {"input": "Hi"}, "outputs": {"output": "Hello"}}
    rows = [{**run, **told.get(run["id"], {})} for run in trace]
    rows.insert(3, other)
    file = tmp_path / "runs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        report = import_files(store, [file])
        assert (report.format, report.imported) == ("langsmith", 2)
        assert [row["line"] for row in report.set_aside] == [len(rows) + 1]
        labels = labels_of(store)[f"langsmith-{root['trace_id']}"]
        said = {(label.message, label.kind, label.value) for label in labels}
        last = read_messages(store, f"langsmith-{root['trace_id']}")[-1]
        assert said == {
            (last.id, "feedback", 1.0),
            (last.id, "feedback", "user_score: quick"),
            (None, "reward", 0.5),
            (None, "feedback", "tone: 3.0"),
        }
        assert [m.content for m in read_messages(store, "langsmith-x")] == ["Hi", "Hello"]


def run(number: int, given: list[Any], answer: Any, **also: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "trace_id": "t",
        "run_type": "llm",
        "dotted_order": f"{number:04}",
        "inputs": {"messages": given},
        "outputs": answer,
        **also,
    }


def test_calls_that_do_not_continue_each_other_are_threads_of_their_own() -> None:
    said = [{"choices": [{"message": {"role": "assistant", "content": text}}]} for text in ("Hello", "Sum", "Bye")]
    other = {"role": "user", "content": "Summarise"}
    more = [USER, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
    runs = [run(0, [USER], said[0]), run(1, [other], said[1]), run(2, more, said[2])]
    first, second = read_all(langsmith, {"runs": runs})
    assert [m.content for m in first.messages] == ["Hi", "Hello", "Bye", "Bye"]
    assert [m.content for m in second.messages] == ["Summarise", "Sum"]
    assert [first.thread, second.thread] == ["langsmith-t", "langsmith-t-1"]


def test_a_line_that_is_odd_leaves_the_others_alone() -> None:
    answer = {"role": "assistant", "content": "Hello"}
    odd = [{"role": "tool", "tool_call_id": "c", "content": "of nothing"}]
    good, bad = langsmith.read({"runs": [run(0, [USER], answer), run(1, odd, answer)]}, FILE)
    assert not isinstance(good, BadRow)
    assert [m.content for m in good.messages] == ["Hi", "Hello"]
    assert str(bad) == "message 0 is a result without a call"


def test_a_call_that_failed_and_was_repeated_is_one_conversation_with_or_without_its_error() -> None:
    failed, good = run(0, [USER], None, error="overloaded"), run(1, [USER], {"role": "assistant", "content": "Hello"})
    record = read_one(langsmith, {"runs": [failed, good]})
    assert [m.content for m in record.messages] == ["Hi", "Hello"]
    assert "error" not in record.metadata
    alone = read_one(langsmith, {"runs": [failed]})
    assert ([m.content for m in alone.messages], alone.metadata["error"]) == (["Hi"], "overloaded")


def test_an_answer_that_was_cut_at_its_longest_is_not_trained() -> None:
    message = AIMessage("Hel", response_metadata={"finish_reason": "length"})
    record = read_one(langsmith, run(0, [USER], {"generations": [[{"message": dumpd(message)}]]}))
    assert [m.response_metadata.get("canned", False) for m in record.messages] == [False, True]


def test_a_trace_without_model_calls_is_what_its_first_run_with_an_answer_says() -> None:
    root = {"id": "t", "run_type": "chain", "inputs": {"order": 7}, "outputs": {}}
    inner = {"id": "u", "trace_id": "t", "parent_run_id": "t", "run_type": "chain", "outputs": {"answer": "Hello"}}
    record = read_one(langsmith, {"runs": [root, {**inner, "inputs": {"question": "Hi"}}]})
    assert [m.content for m in record.messages] == ["Hi", "Hello"]


@pytest.mark.parametrize(
    "answer",
    [
        {"generations": [[{"text": "Hello", "message": dumpd(AIMessage("Hello"))}]]},
        {"generations": [{"text": "Hello", "message": {"type": "ai", "data": {"content": "Hello"}}}]},
        {"generations": [[{"text": "Hello", "type": "Generation"}]]},
        {"choices": [{"message": {"role": "assistant", "content": "Hello"}}]},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}]},
        {"message": {"role": "assistant", "content": "Hello"}},
        {"output": {"type": "ai", "content": "Hello"}},
        {"role": "assistant", "content": "Hello"},
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
        {"content": "Hello"},
    ],
)
def test_answers_are_found_in_every_form(answer: dict[str, Any]) -> None:
    record = read_one(langsmith, run(0, [USER], answer))
    assert as_turns(record.messages)[1:] == [{"role": "ai", "text": "Hello", "calls": [], "reasoning": ""}]


def test_blocks_of_anthropic_are_read_in_a_trace() -> None:
    used = {"type": "tool_use", "id": "t1", "name": "look", "input": {"id": 7}}
    given = [
        USER,
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "No"}]},
    ]
    row = run(0, given, {"role": "assistant", "content": "No."})
    row["inputs"]["system"] = "Be brief."
    assert as_turns(read_one(langsmith, row).messages) == [
        {"role": "system", "text": "Be brief."},
        {"role": "human", "text": "Hi"},
        {"role": "ai", "text": "", "calls": [("look", {"id": 7})], "reasoning": "Hm."},
        {"role": "tool", "text": "No", "call": 0, "failed": True},
        {"role": "ai", "text": "No.", "calls": [], "reasoning": ""},
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"runs": []}, "there are no runs"),
        (
            {"id": "r", "run_type": "retriever", "inputs": {"query": "Hi"}, "outputs": {"documents": []}},
            "no run of the trace holds an answer",
        ),
        (run(0, [{"role": "robot", "content": ""}], None), "a message has the unknown role 'robot'"),
        (run(0, [3], None), "a message is in no known form: 3"),
        (
            run(0, [{"role": "user", "content": [{"type": "image_url"}]}], None),
            "a message holds a block of type 'image_url', which is no text",
        ),
        (run(0, [{"type": "tool", "content": "x", "tool_call_id": "c"}], None), "message 0 is a result without a call"),
    ],
)
def test_odd_traces_say_what_is_odd(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        read_all(langsmith, row)
    assert str(raised.value) == reason


def write(turns: list[Turn], *, nested: bool) -> dict[str, Any]:
    """A run for each answer, given everything before it."""
    said: list[BaseMessage] = []
    runs: list[dict[str, Any]] = []
    for turn in turns:
        calls = [{"name": n, "args": a, "id": str(i)} for i, (n, a) in enumerate(turn.get("calls", []), calls_in(said))]
        thought = {"reasoning_content": turn["reasoning"]} if turn.get("reasoning") else {}
        message: BaseMessage
        if turn["role"] == "ai":
            message = AIMessage(turn["text"], tool_calls=calls, additional_kwargs=thought)
            given = [dumpd(one) for one in said]
            answer = {"generations": [[{"text": turn["text"], "message": dumpd(message)}]]}
            runs.append(run(len(runs), [given] if nested else given, answer))
        elif turn["role"] == "tool":
            status = "error" if turn["failed"] else "success"
            message = ToolMessage(turn["text"], tool_call_id=str(turn["call"]), status=status)
        else:
            message = (SystemMessage if turn["role"] == "system" else HumanMessage)(turn["text"])
        said.append(message)
    return {"runs": runs[::-1]}


def calls_in(said: list[BaseMessage]) -> int:
    return sum(len(message.tool_calls) for message in said if isinstance(message, AIMessage))


@settings(max_examples=30)
@given(conversations(), st.booleans())
def test_what_is_written_comes_back(turns: list[Turn], nested: bool) -> None:
    row = write(turns, nested=nested)
    assert langsmith.fits(row)
    record = read_one(langsmith, row)
    assert as_turns(record.messages) == turns
    assert not any(message.response_metadata for message in record.messages)


SAMPLE = write(
    [
        {"role": "human", "text": "Hi"},
        {"role": "ai", "text": "", "calls": [("look", {"id": 7})], "reasoning": "Hm."},
        {"role": "tool", "text": "Sent.", "call": 0, "failed": False},
        {"role": "ai", "text": "Sent.", "calls": [], "reasoning": ""},
    ],
    nested=True,
)["runs"]
ROOT = {"id": "t", "run_type": "chain", "inputs": {"messages": [["user", "Hi"]]}, "outputs": {"output": "Hello"}}


@settings(max_examples=60)
@given(damaged([{"runs": SAMPLE}, {**ROOT, "child_runs": SAMPLE, "feedback_stats": {"tone": {"avg": 1}}}, ROOT]))
def test_damaged_traces_are_read_or_set_aside(row: dict[str, Any]) -> None:
    survives(langsmith, row)
