"""think when things go wrong or differently: retries, fallbacks, tool choice, words before the action, async."""

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import PrivateAttr
from threadmill.errors import BadModelSpec, ContextOverflow, EndpointFailed, UnknownTool
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import ScriptedModel, Slot, make_think
from threadmill.nodes.fallback import Pause, ask_in_turn, may_pass


@tool
def look(order: str) -> str:
    """Look at an order."""
    return f"{order} was sent"


@tool
def cancel(order: str) -> str:
    """Cancel an order."""
    return f"{order} is cancelled"


def calling(name: str = "look") -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": {"order": "A1"}, "id": "c1"}])


class Failing(ScriptedModel):
    """Raises the next of ``errors``, then follows its script."""

    _errors: list[Exception] = PrivateAttr(default_factory=list)

    def __init__(self, *errors: Exception, says: str = "Hello.") -> None:
        super().__init__(lambda _: AIMessage(says))
        self._errors = list(errors)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        if self._errors:
            raise self._errors.pop(0)
        return super()._generate(*args, **kwargs)


def answer(*models: Any, **settings: Any) -> AIMessage:
    """What think says to "Hi." with the first model and the others behind it."""
    slots = [Slot.fixed(f"agent.{n}", model, f"agent.{n}@0001") for n, model in enumerate(models)]
    think = make_think(slots[0], [look], fallbacks=slots[1:], wait_s=0, **settings)
    versions = {slot.name: f"{slot.name}@0001" for slot in slots}
    return think({"messages": [HumanMessage("Hi.")], "versions": versions}, {})["messages"][-1]


def test_a_failure_that_may_pass_is_tried_again() -> None:
    assert answer(Failing(EndpointFailed("busy"), ConnectionResetError("gone")), retries=2).text == "Hello."
    with pytest.raises(ConnectionResetError):
        answer(Failing(EndpointFailed("busy"), ConnectionResetError("gone")), retries=1)


def test_a_failure_that_will_not_pass_is_not_tried_again() -> None:
    with pytest.raises(BadModelSpec):
        answer(Failing(BadModelSpec("no such setting")), retries=5)


class Status(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


def test_the_status_says_whether_a_failure_may_pass() -> None:
    assert [code for code in (400, 401, 404, 408, 422, 429, 500, 503) if may_pass(Status(code))] == [408, 429, 500, 503]
    refused = EndpointFailed("the key is refused")
    refused.__cause__ = Status(401)
    assert not may_pass(refused)


def test_a_connection_that_breaks_off_in_the_middle_of_an_answer_may_pass() -> None:
    assert may_pass(httpx.RemoteProtocolError("peer closed connection without sending complete message body"))
    assert may_pass(httpx.ReadError("gone"))
    assert not may_pass(httpx.UnsupportedProtocol("ftp"))


@pytest.mark.parametrize(("asked", "waited_s"), [("7", 7.0), ("1.5", 2.0), ("3600", 30.0), ("Wed, 21 Oct", 2.0)])
def test_a_server_that_says_how_long_to_wait_is_waited_for(asked: str, waited_s: float) -> None:
    response = httpx.Response(429, headers={"Retry-After": asked}, request=httpx.Request("POST", "http://host"))
    busy = httpx.HTTPStatusError("busy", request=response.request, response=response)
    slot = Slot.fixed("agent.think", ScriptedModel([]), "v1")
    asking = ask_in_turn([slot], {"agent.think": "v1"}, lambda *_: slot.model("v1"), [], {}, {}, retries=1, wait_s=2)
    next(asking)
    assert asking.throw(busy) == Pause(waited_s)


def test_the_next_slot_answers_and_the_answer_says_so() -> None:
    said = answer(Failing(ContextOverflow("too long"), says="never"), ScriptedModel([AIMessage("I have room.")]))
    assert said.text == "I have room."
    assert said.response_metadata["version"] == "agent.1@0001"
    assert said.response_metadata["fell_back_from"] == [
        {"slot": "agent.0", "version": "agent.0@0001", "why": "ContextOverflow: too long"}
    ]
    assert "fell_back_from" not in answer(ScriptedModel([AIMessage("I have room.")]), Failing()).response_metadata


def test_if_nobody_answers_the_error_names_all() -> None:
    with pytest.raises(ValueError, match="second") as raised:
        answer(Failing(KeyError("first")), Failing(ValueError("second")))
    assert raised.value.__notes__ == ["before that, agent.0@0001 failed: KeyError: 'first'"]


def test_a_fallback_of_an_agent_has_its_version_in_the_state() -> None:
    slots = [Slot.fixed("desk.think", Failing(*[KeyError("no")] * 2), "a"), Slot.fixed("desk.spare", Failing(), "b")]
    graph = build_react(slots[0], [look], fallbacks=slots[1:]).compile(checkpointer=InMemorySaver())
    outcome = run_thread(graph, "t", "Hi.")
    assert (outcome.answer, outcome.versions) == ("Hello.", {"desk.think": "a", "desk.spare": "b"})


class Choosing(ScriptedModel):
    """Notes the tool choices that it is bound with."""

    _choices: list[Any] = PrivateAttr(default_factory=list)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return _Bound(self, kwargs.get("tool_choice"))


class _Bound:
    def __init__(self, model: Choosing, choice: Any) -> None:
        self.model, self.choice = model, choice

    def invoke(self, *args: Any, **kwargs: Any) -> AIMessage:
        self.model._choices.append(self.choice)
        return self.model.invoke(*args, **kwargs)


def chosen(choice: str, *replies: AIMessage, **settings: Any) -> tuple[list[Any], list[BaseMessage]]:
    """The choices that the model was called with in two turns, and the thread after them."""
    model = Choosing(replies)
    slot = Slot.fixed("desk.think", model, "v1")
    graph = build_react(slot, [look, cancel], tool_choice=choice, **settings).compile(checkpointer=InMemorySaver())
    run_thread(graph, "t", "Where is A1?")
    run_thread(graph, "t", "And now?")
    return model._choices, graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]


def test_a_choice_that_demands_a_call_holds_for_the_first_call_of_each_run() -> None:
    script = [calling(), AIMessage("Sent."), calling(), AIMessage("Still.")]
    for choice in ("any", "look"):
        assert chosen(choice, *script)[0] == [choice, None, choice, None]
    assert chosen("required", *script)[0] == ["any", None, "any", None]
    assert chosen("auto", *script)[0] == [None] * 4
    assert chosen("none", AIMessage("Hm."), AIMessage("Hm."))[0] == ["none"] * 2


def test_a_call_against_the_choice_goes_back_to_the_model() -> None:
    for choice, called, why in (("none", "look", "no tool may be called now"), ("look", "cancel", "only look may be")):
        _, thread = chosen(choice, calling(called), AIMessage("All right."), AIMessage("Bye."))
        (told,) = [message for message in thread if isinstance(message, ToolMessage)]
        assert told.text.startswith(f"the call could not be read: {why}")
        assert told.status == "error"


def test_an_answer_without_the_call_that_was_chosen_is_noted() -> None:
    _, thread = chosen("any", AIMessage("Hm."), AIMessage("Hm."))
    assert thread[1].response_metadata["notes"] == ["the model did not keep to the tool choice 'any'"]


def test_no_calls_is_said_as_the_provider_says_it() -> None:
    class Anthropic(Choosing):
        @property
        def _llm_type(self) -> str:
            return "threadmill-any-anthropic-chat"

    for tools, choice in (([look], {"type": "none"}), ([], None)):  # without tools there is nothing to choose
        model = Anthropic([AIMessage("Hm.")])
        think = make_think(Slot.fixed("a.think", model, "v1"), tools, tool_choice="none")
        think({"messages": [HumanMessage("Hi.")], "versions": {"a.think": "v1"}}, {})
        assert model._choices == [choice]


def test_a_choice_must_be_a_mode_or_a_tool() -> None:
    with pytest.raises(UnknownTool, match="'lok' is none of auto, any, none, look"):
        make_think(Slot.fixed("a.think", Failing(), "v1"), [look], tool_choice="lok")


def test_a_plan_stands_before_the_first_action_of_each_run() -> None:
    script = [AIMessage("1. Look."), calling(), AIMessage("Sent."), AIMessage("1. Answer."), AIMessage("Bye.")]
    choices, thread = chosen("auto", *script, first="plan")
    assert choices == ["none", None, None, "none", None]
    assert [(m.type, m.text) for m in thread] == [
        ("human", "Where is A1?"),
        ("ai", "1. Look."),
        ("ai", ""),
        ("tool", "A1 was sent"),
        ("ai", "Sent."),
        ("human", "And now?"),
        ("ai", "1. Answer."),
        ("ai", "Bye."),
    ]
    assert [m.response_metadata.get("first") for m in thread if m.type == "ai"] == ["plan", None, None, "plan", None]


def test_a_reflection_follows_each_observation() -> None:
    script = [calling(), AIMessage("It is sent: I can answer."), AIMessage("Sent."), AIMessage("Bye.")]
    choices, thread = chosen("auto", *script, first="reflect")
    assert choices == [None, "none", None, None]
    assert [m.text for m in thread if m.type == "ai"] == ["", "It is sent: I can answer.", "Sent.", "Bye."]
    assert thread[1].response_metadata["system"].startswith("After each result of a tool, write")


def test_who_acts_where_words_were_asked_for_is_told_so() -> None:
    _, thread = chosen("auto", calling(), AIMessage("Sent."), AIMessage("1. Answer."), AIMessage("Bye."), first="plan")
    assert [(m.type, m.text) for m in thread[1:4]] == [
        ("ai", ""),
        ("tool", "the call could not be read: no tool may be called now"),
        ("ai", "Sent."),
    ]


def test_async_gives_the_same_messages_and_blocks_no_loop() -> None:
    def script(messages: list[BaseMessage]) -> AIMessage:
        return calling() if messages[-1].type == "human" else AIMessage("Sent.")

    class Slow(ScriptedModel):
        async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
            inside.append(messages[0].text)
            await met.wait() if len(inside) < 2 else met.set()  # the first waits for the second
            return self._generate(messages)

    def graph(model: ScriptedModel) -> Any:
        return build_react(Slot.fixed("desk.think", model, "v1"), [look]).compile()

    inside: list[str] = []
    met = asyncio.Event()

    async def both() -> Any:
        talk = graph(Slow(script))
        return await asyncio.gather(
            *(talk.ainvoke({"messages": [HumanMessage(text, id="h")]}) for text in ("Hi.", "Ho."))
        )

    told = [asyncio.run(both())[0], graph(ScriptedModel(script)).invoke({"messages": [HumanMessage("Hi.", id="h")]})]
    first, second = ([_plainly(message) for message in said["messages"]] for said in told)
    assert sorted(inside) == ["Hi.", "Hi.", "Ho.", "Ho."]
    assert first == second
    assert [message["type"] for message in first] == ["human", "ai", "tool", "ai"]


def test_async_falls_back_and_tries_again_too() -> None:
    slots = [Slot.fixed("d.think", Failing(KeyError("no")), "a"), Slot.fixed("d.spare", Failing(TimeoutError()), "b")]
    think: Any = make_think(slots[0], [look], fallbacks=slots[1:], retries=1, wait_s=0)
    state = {"messages": [HumanMessage("Hi.")], "versions": {"d.think": "a", "d.spare": "b"}}
    (said,) = asyncio.run(think.ainvoke(state))["messages"]
    assert (said.text, said.response_metadata["version"]) == ("Hello.", "b")


def _plainly(message: BaseMessage) -> dict[str, Any]:
    """Without what differs from run to run: ids of calls, seconds."""
    told: dict[str, Any] = message.model_dump(exclude={"id"})
    told["response_metadata"].pop("seconds", None)
    told["additional_kwargs"].pop("duration_s", None)
    told.pop("tool_call_id", None)
    return told


def test_seeds_are_those_of_the_place_in_the_thread() -> None:
    seeds: list[int] = []

    class Seeded(ScriptedModel):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
            seeds.append(kwargs["seed"])
            return super()._generate(messages, *args, **kwargs)

    replies: Callable[..., AIMessage] = lambda messages: AIMessage("Hm.")  # noqa: E731
    think: Any = make_think(Slot.fixed("a.think", Seeded(replies), "v1"), [], first="plan")
    state = {"messages": [HumanMessage("Hi."), AIMessage("Ho."), HumanMessage("Hi.")], "versions": {"a.think": "v1"}}
    think(state, {"configurable": {"seed": 40}})
    assert seeds == [41, 42]


def test_the_python_about_thinking_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parent.parent / "docs" / "think.md"
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    exec(compile(code, "think.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "Hello.",
        "gpt ConnectionError: nobody answers",
        "It was sent.",
        "{'sent': True}",
    ]
