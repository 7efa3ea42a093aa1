"""A thread says which tools and which system prompt its model had, once, and again when they change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from threadmill.checkpoints import open_store
from threadmill.checkpoints.branch import branch_messages
from threadmill.checkpoints.reading import latest_checkpoint
from threadmill.graphs import answer_thread, build_react, fork_thread, run_thread
from threadmill.nodes import ScriptedModel, Slot, make_think
from threadmill.nodes.bound_tools import note_system, note_tools, system_at, tool_schemas, tools_at
from threadmill.nodes.models.rendered import Rendered, Turn
from threadmill.training.branches import Branch, read_branches, render_trajectory


@tool
def look(order: str) -> str:
    """Look it up."""
    return f"{order} was sent"


@tool
def refund(order: str, amount: int) -> str:
    """Pay back."""
    return f"refunded {amount}"


class Refund(BaseModel):
    """Pay back."""

    order: str
    amount: int


def pay(order: str, amount: int) -> str:
    """Pay back."""
    return ""


LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look it up.",
        "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
    },
}


def noted(messages: Any, key: str = "tools") -> list[Any]:
    """What each message of a model notes: names of tools, or a system prompt."""
    spoken = [message.response_metadata.get(key) for message in messages if isinstance(message, AIMessage)]
    return [[tool["function"]["name"] for tool in note] if isinstance(note, list) else note for note in spoken]


def test_tools_of_every_kind_are_told_as_openai_writes_them():
    anthropic = {"name": "look", "description": "Look it up.", "input_schema": LOOK["function"]["parameters"]}
    assert tool_schemas([look, LOOK, anthropic]) == [LOOK, LOOK, LOOK]
    by_class, by_function = tool_schemas([Refund, pay])
    properties = {"order": {"type": "string"}, "amount": {"type": "integer"}}
    assert by_class["function"] == {
        "name": "Refund",
        "description": "Pay back.",
        "parameters": {"type": "object", "properties": properties, "required": ["order", "amount"]},
    }
    assert by_function["function"]["parameters"] == by_class["function"]["parameters"]


def test_a_tool_of_a_provider_s_own_stays_as_it_is():
    assert tool_schemas([{"google_search": {}}, {"type": "web_search_preview"}]) == [
        {"google_search": {}},
        {"type": "web_search_preview"},
    ]


def test_a_bound_that_no_database_holds_does_not_stop_the_run(tmp_path):
    class Count(BaseModel):
        """Count."""

        most: int = Field(lt=2**70, gt=-5)

    @tool(args_schema=Count)
    def count(most: int) -> str:
        """Count."""
        return str(most)

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = Slot.fixed("desk.think", ScriptedModel([AIMessage("Hi.")]), "v1")
        graph = build_react(slot, [count]).compile(checkpointer=store.saver)
        run_thread(graph, "t", "Hello.")
        (schema,) = tools_at(branch_messages(store, "t", latest_checkpoint(store, "t")))
    limits = schema["function"]["parameters"]["properties"]["most"]
    assert (limits["exclusiveMaximum"], limits["exclusiveMinimum"]) == (2.0**70, -5)


def test_a_note_is_made_only_where_it_says_something_new():
    first = note_tools(AIMessage("a"), [LOOK], [HumanMessage("hi")])
    assert tools_at([first]) == [LOOK]
    assert note_tools(AIMessage("b"), [LOOK], [first]).response_metadata == {}
    none = note_tools(AIMessage("c"), [], [first])
    assert none.response_metadata == {"tools": []}
    assert tools_at([first, none]) == []
    assert note_tools(AIMessage("d"), [], [HumanMessage("hi")]).response_metadata == {}


def test_a_note_that_came_with_the_answer_gives_way():
    recorded = AIMessage("a", response_metadata={"tools": [LOOK], "system": "old", "model": "m"})
    assert note_tools(recorded, [], []).response_metadata == {"system": "old", "model": "m"}
    assert note_system(recorded, "new", []).response_metadata["system"] == "new"


def test_what_is_noted_belongs_to_one_message_alone():
    schemas = tool_schemas([look])
    first = note_tools(AIMessage("a"), schemas, [])
    first.response_metadata["tools"][0]["function"]["name"] = "changed"
    assert schemas == [LOOK]


def test_think_notes_tools_and_system_prompt_once_and_again_when_the_first_answer_was_trimmed():
    think = make_think(Slot.fixed("desk.think", ScriptedModel(lambda _: AIMessage("ok")), "v1"), [look], "Be kind.")
    messages: list[BaseMessage] = []

    def turn(kept: list[BaseMessage]) -> list[BaseMessage]:
        asked = [*kept, HumanMessage("go on")]
        return asked + think({"messages": asked, "versions": {"desk.think": "v1"}}, {})["messages"]

    messages = turn(turn(messages))
    assert noted(messages) == [["look"], None]
    assert noted(messages, "system") == ["Be kind.", None]
    assert system_at(messages) == "Be kind."
    assert noted(turn(messages[2:])) == [None, ["look"]]


def test_a_thread_with_a_system_message_of_its_own_notes_none():
    think = make_think(Slot.fixed("desk.think", ScriptedModel(lambda _: AIMessage("ok")), "v1"), [], "Be kind.")
    asked = [SystemMessage("Be brief."), HumanMessage("hi")]
    messages = asked + think({"messages": asked, "versions": {"desk.think": "v1"}}, {})["messages"]
    assert messages[2].response_metadata.keys() == {"node", "version", "seconds"}
    assert system_at(messages) == ""


def refund_first(messages: list[BaseMessage]) -> AIMessage:
    """A call for whoever asks, then thanks."""
    if isinstance(messages[-1], HumanMessage):
        call = {"name": "refund", "args": {"order": "A1", "amount": 900}, "id": f"call-{len(messages)}"}
        return AIMessage("", tool_calls=[call])
    return AIMessage("Done.")


def why(name: str, args: dict[str, Any]) -> str | None:
    return "much" if args.get("amount", 0) > 100 else None


def read(tmp_path: Path, live: Callable[[Any], None]) -> list[Branch]:
    """The branches of thread t after ``live`` led its life in a desk with the two tools."""
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = Slot.fixed("desk.think", ScriptedModel(refund_first), "desk.think@0001")
        graph = build_react(slot, [look, refund], ask=why, name="desk", system="Be kind.")
        live(graph.compile(checkpointer=store.saver))
        return read_branches(store, "t", task=None, labels=[], renderer=None)


def test_an_edited_and_forked_thread_says_its_tools_on_every_branch(tmp_path):
    def live(graph: Any) -> None:
        run_thread(graph, "t", "Refund A1.")
        at = graph.get_state({"configurable": {"thread_id": "t"}}).config["configurable"]["checkpoint_id"]
        edit = {"type": "edit", "args": {"order": "A1", "amount": 9}}
        answer_thread(graph, "t", [{"id": "call-2", **edit}])
        run_thread(graph, "t", "And again.")
        answer_thread(graph, "t", [{"id": "call-6", "type": "reject"}])
        fork_thread(graph, "t", at)

    branches = read(tmp_path, live)
    names = ["look", "refund"]
    assert [noted(branch.messages) for branch in branches] == [[names, None, None, None], [names]]
    assert [[tool["function"]["name"] for tool in branch.tools] for branch in branches] == [names] * 2
    assert [system_at(branch.messages) for branch in branches] == ["Be kind."] * 2


def test_plain_langgraph_runs_note_too_and_the_stored_note_is_the_noted_one(tmp_path):
    def live(graph: Any) -> None:
        config = {"configurable": {"thread_id": "t"}}
        graph.invoke({"messages": [HumanMessage("hi", id="h")]}, config)
        graph.update_state(config, {"messages": [RemoveMessage(id="h")]})

    (branch,) = read(tmp_path, live)
    assert list(branch.tools) == tool_schemas([look, refund])


class Template:
    """Renders the number of tools, then a system prompt as [5], a person as [1], a model as the trained token [7]."""

    def training_rows(self, messages, tools):
        tokens = {"system": 5, "human": 1, "ai": 7}
        turns = tuple(Turn(at, at + 1, at + 2) for at, message in enumerate(messages) if message.type == "ai")
        return [Rendered((len(tools), *(tokens[message.type] for message in messages)), turns)]


def test_messages_without_traces_are_rendered_with_the_tools_and_the_prompt_that_were_noted():
    answer = AIMessage("Hello.", id="a", response_metadata={"tools": [LOOK, LOOK], "system": "Be kind."})
    (trajectory,) = render_trajectory([HumanMessage("hi"), answer], Template())  # pyright: ignore[reportArgumentType]
    assert [(span.origin, span.tokens, span.message) for span in trajectory.spans] == [
        ("given", (2, 5, 1), None),
        ("sampled", (7,), "a"),
    ]


def test_answers_with_other_tools_are_in_rows_of_their_own():
    def answer(name: str, *tools: Any) -> AIMessage:
        return AIMessage(name, id=name, response_metadata={"tools": list(tools)} if tools else {})

    talk = [HumanMessage("hi"), answer("a", LOOK), answer("b"), HumanMessage("hi"), answer("c", LOOK, LOOK)]
    rows = render_trajectory(talk, Template())  # pyright: ignore[reportArgumentType]
    assert [row.ids() for row in rows] == [[1, 1, 7, 7], [2, 1, 7, 7, 1, 7]]
    assert [[span.message for span in row.spans if span.origin == "sampled"] for row in rows] == [["a", "b"], ["c"]]


def test_a_rendered_greeting_that_no_model_wrote_is_given():
    greeting = AIMessage("Hi!", id="g", response_metadata={"canned": True})
    talk = [SystemMessage("s"), greeting, HumanMessage("hi"), AIMessage("Hello.", id="a")]
    (trajectory,) = render_trajectory(talk, Template())  # pyright: ignore[reportArgumentType]
    assert [(span.origin, span.tokens, span.message) for span in trajectory.spans] == [
        ("given", (0, 5, 7, 1), None),
        ("sampled", (7,), "a"),
    ]
