"""Branches of many threads in a stream: what they say besides messages and tokens, and what is wrong with some."""

from typing import Any

from bank_agent import build_bank, paying
from family_tokenizers import qwen_tokenizer
from langchain_core.messages import AIMessage, HumanMessage
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.store import Store
from threadmill.checkpoints.where import Head, Where, find_heads
from threadmill.errors import BadTrace, CannotRender, UnknownThread
from threadmill.graphs import run_thread
from threadmill.nodes.models.render import Renderer
from threadmill.training.branches import stream_branches


def run(store: Store, thread: str, *replies: AIMessage, task: str | None = None) -> None:
    graph = build_bank(list(replies)).compile(checkpointer=store.saver)
    run_thread(graph, thread, "Pay.", metadata={"agent": "bank"} | ({"task": task} if task else {}))


def test_a_branch_says_who_spoke_with_which_tools_and_what_came_of_it(store: Store):
    run(store, "t", paying(1).model_copy(update={"id": "a1"}), AIMessage("Done.", id="a2"), task="pay-1")
    add_label(store, Label("t", None, None, "reward", 0.5, "ann"))
    (read,) = stream_branches(store, find_heads(store, Where()), renderer=None)
    (branch,) = read.branches
    assert (read.thread, read.error, branch.agent, branch.task) == ("t", None, "bank", "pay-1")
    assert branch.nodes == {"a1": "think", "a2": "think"}
    assert [tool["function"]["name"] for tool in branch.tools] == ["pay"]
    assert [(label.kind, label.value) for label in branch.labels] == [("reward", 0.5)]
    assert branch.outcome.reward == 0.5
    assert (branch.metadata["task"], branch.path[0], len(branch.path)) == ("pay-1", branch.checkpoint, 8)


def test_what_cannot_be_read_is_said_in_its_place_and_stops_nothing(store: Store):
    run(store, "broken trace", AIMessage("Done.", response_metadata={"trace": {"version": "v"}}))
    run(store, "fine", AIMessage("Done."))
    picture: Any = HumanMessage([{"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}])
    graph = build_bank([AIMessage("Nice.")]).compile(checkpointer=store.saver)
    graph.invoke({"messages": [picture]}, {"configurable": {"thread_id": "picture"}})
    heads = [Head(name, "bank", None, "") for name in ("broken trace", "x7", "picture", "fine")]
    reads = list(stream_branches(store, heads, renderer=Renderer(qwen_tokenizer("qwen3"))))
    assert [(read.thread, type(read.error), len(read.branches)) for read in reads] == [
        ("broken trace", BadTrace, 0),
        ("x7", UnknownThread, 0),
        ("picture", CannotRender, 0),
        ("fine", type(None), 1),
    ]
