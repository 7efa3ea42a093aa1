"""Any LangChain chat model in a slot: it answers as it does, and its messages say that no tokens are known."""

import asyncio
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.errors import BadModelSpec, MissingLibrary
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import Slot
from threadmill.nodes.models.any_chat import AnyChatModel, open_chat_model


class Echo(BaseChatModel):
    """Answers with the settings that it was given."""

    model: str = "echo"
    temperature: float = 1.0
    max_tokens: int | None = None

    @property
    def _llm_type(self) -> str:
        return "echo"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[each.name for each in tools], **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(sorted(kwargs.items()))))])


class SeededEcho(Echo):
    """The same, of a provider that takes seeds."""

    seed: int | None = None


@tool
def look(order: str) -> str:
    """Look at an order."""
    return order


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A provider's package, as if it were installed."""
    package = ModuleType("langchain_baseten")
    package.ChatBaseten = Echo  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "langchain_baseten", package)
    return


def test_an_answer_says_that_its_tokens_are_not_known() -> None:
    model = AnyChatModel(inner=Echo())
    answers = [model.invoke("Hi"), asyncio.run(model.ainvoke("Hi")), *model.batch(["Hi"])]
    assert [answer.response_metadata["tokens"] for answer in answers] == ["none"] * 3
    assert "trace" not in answers[0].response_metadata


def test_a_stream_says_so_once() -> None:
    model = AnyChatModel(inner=GenericFakeChatModel(messages=iter([AIMessage("one two three")])))
    chunks: list[Any] = list(model.stream("Hi"))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert len(chunks) > 2
    assert (total.text, total.response_metadata["tokens"]) == ("one two three", "none")


@pytest.mark.parametrize(
    ("inner", "heard"),
    [(Echo(), "[('temperature', 0.5)]"), (SeededEcho(), "[('seed', 3), ('temperature', 0.5)]")],
)
def test_a_seed_goes_only_to_those_that_take_one(inner: BaseChatModel, heard: str) -> None:
    assert AnyChatModel(inner=inner).invoke("Hi", seed=3, temperature=0.5).text == heard


def test_tools_are_bound_as_the_provider_does() -> None:
    bound = AnyChatModel(inner=Echo()).bind_tools([look], tool_choice="look")
    answer = bound.invoke([HumanMessage("Hi")])
    assert answer.text == "[('tool_choice', 'look'), ('tools', ['look'])]"
    assert answer.response_metadata["tokens"] == "none"


def test_it_answers_in_a_thread_under_its_own_name() -> None:
    slot = Slot.fixed("shop.think", AnyChatModel(inner=Echo()), "baseten:echo")
    agent = build_react(slot, [look]).compile(checkpointer=InMemorySaver(), name="shop")
    outcome = run_thread(agent, "x7", "Hi")
    assert (outcome.status, dict(outcome.versions)) == ("done", {"shop.think": "baseten:echo"})
    last = agent.get_state({"configurable": {"thread_id": "x7"}}).values["messages"][-1]
    assert (last.response_metadata["tokens"], last.response_metadata["version"]) == ("none", "baseten:echo")


@pytest.mark.usefixtures("provider")
def test_a_provider_is_opened_with_its_settings() -> None:
    inner = open_chat_model("baseten:some/model:1b", temperature=0.5, max_tokens=9).inner
    assert isinstance(inner, Echo)
    assert (inner.model, inner.temperature, inner.max_tokens) == ("some/model:1b", 0.5, 9)


def test_a_provider_whose_package_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_fireworks", None)
    with pytest.raises(MissingLibrary, match=r"'fireworks:x' cannot be opened: .*pip install langchain-fireworks"):
        open_chat_model("fireworks:x")
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(MissingLibrary, match="needs langchain; install it with pip install langchain"):
        open_chat_model("fireworks:x")


def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(BadModelSpec, match=r"'nobody:x' cannot be opened: (.|\n)*anthropic"):
        open_chat_model("nobody:x")
