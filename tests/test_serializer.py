"""Reading checkpoints: what is on the allow-list is built, everything else is refused and named."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict

import ormsgpack
import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import PromptTemplate
from langgraph.checkpoint.serde.jsonplus import EXT_CONSTRUCTOR_KW_ARGS, EXT_PYDANTIC_V2, JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.graph import START, StateGraph
from langgraph.types import Interrupt, Send
from pydantic import BaseModel
from threadmill.checkpoints.messages import Messages
from threadmill.checkpoints.serializer import StrictSerializer, make_serializer
from threadmill.checkpoints.store import open_store
from threadmill.errors import UnknownType

NAME = f"{__name__}.Money".replace(".", r"\.")


@dataclass
class Money:
    """A type that an agent of somebody keeps in its state."""

    amount: int


class Order(BaseModel):
    """Another one."""

    id: str
    price: Any


class Mood(Enum):
    """A third one."""

    GOOD = "good"


def written(value: Any) -> tuple[str, bytes]:
    return JsonPlusSerializer().dumps_typed(value)


def message_with(**parts: Any) -> tuple[str, bytes]:
    """A stored message that holds ``parts`` as they are; LangGraph itself would dump them to plain data first."""

    def extension(value: Any) -> ormsgpack.Ext:
        kind, content = written(value)
        assert kind == "msgpack"
        return ormsgpack.unpackb(content, ext_hook=ormsgpack.Ext, option=ormsgpack.OPT_NON_STR_KEYS)

    fields = {name: extension(value) for name, value in parts.items()}
    content = ormsgpack.packb(
        ("langchain_core.messages.tool", "ToolMessage", {"content": "x", "tool_call_id": "c1", **fields}, "x")
    )
    return "msgpack", ormsgpack.packb(ormsgpack.Ext(EXT_PYDANTIC_V2, content))


@pytest.mark.parametrize(
    "data",
    [
        written(Money(3)),
        written([[1, Money(3)]]),
        written({"a": {"b": Money(3)}}),
        written([Send("tool", {"price": Money(3)})]),
        written(_DeltaSnapshot([HumanMessage("hi"), Money(3)])),
        written(_DeltaSnapshot([HumanMessage("hi", additional_kwargs={"mood": Mood.GOOD})])),
        written(Interrupt(value={"ask": Money(3)}, id="i")),
        written(HumanMessage("hi", additional_kwargs={"mood": Mood.GOOD})),
        written(AIMessage("hi", response_metadata={"moods": [Mood.GOOD]})),
        written(ToolMessage("hi", tool_call_id="c1", artifact=Mood.GOOD)),
        message_with(artifact=Money(3)),
        message_with(additional_kwargs=Order(id="o", price=1)),
    ],
    ids=lambda data: "",
)
def test_types_that_are_not_on_the_allow_list_are_refused_wherever_they_are(data: tuple[str, bytes]):
    with pytest.raises(UnknownType, match=rf"a checkpoint holds a {__name__}\.\w+, which is not on the allow-list; "):
        make_serializer().loads_typed(data)
    assert make_serializer(refuse=False).loads_typed(data) is not None


def test_the_error_names_all_types_and_what_to_write():
    with pytest.raises(UnknownType) as refused:
        make_serializer().loads_typed(written([Money(1), Order(id="o", price=Mood.GOOD), Money(2)]))
    assert str(refused.value) == (
        f"a checkpoint holds a {__name__}.Money, which is not on the allow-list (nor is {__name__}.Order, "
        f"{__name__}.Mood); if you trust it, open the database with "
        f"open_store(url, allow=[('{__name__}', 'Money'), ('{__name__}', 'Order'), ('{__name__}', 'Mood')])"
    )


def test_types_are_allowed_by_class_or_by_name():
    data = written([Money(3), {"order": Order(id="o", price=Mood.GOOD)}])
    allow = [Money, (__name__, "Order"), Mood]
    assert make_serializer(allow).loads_typed(data) == [Money(3), {"order": Order(id="o", price=Mood.GOOD)}]
    with pytest.raises(UnknownType, match=rf"holds a {__name__}\.Mood"):  # inside a type that is allowed
        make_serializer([Money, Order]).loads_typed(data)


def test_messages_and_plain_data_need_no_permission():
    value = [
        AIMessage("a", id="m", tool_calls=[{"name": "pay", "args": {"n": 1}, "id": "c"}]),
        Send("tool", {"x": {1, 2}}),
        {"when": [Path("a/b"), b"bytes", 1.5, None, True]},
    ]
    assert make_serializer().loads_typed(make_serializer().dumps_typed(value)) == value
    snapshot = make_serializer().loads_typed(written(_DeltaSnapshot([HumanMessage("hi", id="h")])))
    assert snapshot == _DeltaSnapshot([HumanMessage("hi", id="h")])


def test_without_refusing_unknown_types_are_their_plain_content():
    reader = make_serializer([Order], refuse=False)
    assert reader.loads_typed(written([Money(3)])) == [{"amount": 3}]
    assert reader.loads_typed(written(Send("tool", Money(3)))) == Send("tool", {"amount": 3})
    assert reader.loads_typed(written(_DeltaSnapshot([Money(3)]))) == _DeltaSnapshot([{"amount": 3}])
    assert reader.loads_typed(written(Order(id="o", price=Mood.GOOD))) == Order(id="o", price="good")
    assert reader.loads_typed(message_with(artifact=Money(3))).artifact == {"amount": 3}


@pytest.mark.parametrize("refuse", [True, False])
def test_pickles_are_never_opened(refuse: bool):
    with pytest.raises(UnknownType, match="the content is a pickle, which can run any code when read; it is not"):
        make_serializer(refuse=refuse).loads_typed(("pickle", b"cos\nsystem\n(S'echo no'\ntR."))


def test_no_code_of_an_unknown_type_runs(tmp_path: Path):
    evil = ormsgpack.packb(("os", "mkdir", {"path": str(tmp_path / "made")}))
    data = ("msgpack", ormsgpack.packb(ormsgpack.Ext(EXT_CONSTRUCTOR_KW_ARGS, evil)))
    with pytest.raises(UnknownType, match=r"holds a os\.mkdir"):
        make_serializer().loads_typed(data)
    assert make_serializer(refuse=False).loads_typed(data) == {"path": str(tmp_path / "made")}
    assert not (tmp_path / "made").exists()


def test_the_json_of_older_checkpoints_is_read_as_strictly():
    def old(value: Any) -> tuple[str, bytes]:
        return "json", json.dumps(value).encode()

    money = {"lc": 2, "type": "constructor", "id": [*__name__.split("."), "Money"], "kwargs": {"amount": 3}}
    message = dumpd(HumanMessage("hi", id="h"))
    assert make_serializer().loads_typed(old({"messages": [message]})) == {"messages": [HumanMessage("hi", id="h")]}
    assert make_serializer([Money]).loads_typed(old([money])) == [Money(3)]
    assert make_serializer(refuse=False).loads_typed(old([money])) == [{"amount": 3}]
    with pytest.raises(UnknownType, match=rf"holds a {NAME}"):
        make_serializer().loads_typed(old([money]))
    with pytest.raises(UnknownType, match=r"holds a langchain_core\.prompts\.prompt\.PromptTemplate"):
        make_serializer().loads_typed(old([dumpd(PromptTemplate.from_template("{x}"))]))


def test_damaged_content_is_not_called_a_matter_of_types():
    with pytest.raises(ormsgpack.MsgpackDecodeError):
        make_serializer().loads_typed(("msgpack", b"\xc1"))


class Wallet(TypedDict):
    """The state of an agent that keeps an object of its own."""

    messages: Messages
    money: Money


def earn(state: Wallet) -> dict[str, Any]:
    return {"money": Money(state["money"].amount + 1 if "money" in state else 1)}


def counting(saver: Any) -> Any:
    graph = StateGraph(Wallet)
    graph.add_node("earn", earn)
    graph.add_edge(START, "earn")
    return graph.compile(checkpointer=saver)


def test_a_graph_with_an_object_in_its_state_is_told_and_goes_on_once_it_is_allowed(url: str):
    thread: Any = {"configurable": {"thread_id": "t"}}
    with open_store(url) as store:
        counting(store.saver).invoke({"messages": ["Hi."]}, thread)
    with open_store(url) as store, pytest.raises(UnknownType, match=rf"open_store\(url, allow=\[\('{__name__}', 'Mo"):
        counting(store.saver).invoke({"messages": ["Again."]}, thread)
    with open_store(url, read_only=True) as store:
        assert counting(store.reader).get_state(thread).values["money"] == {"amount": 1}
    with open_store(url, allow=[Money]) as store:
        values = counting(store.saver).invoke({"messages": ["Again."]}, thread)
        assert values["money"] == Money(2)
        assert [message.text for message in values["messages"]] == ["Hi.", "Again."]
        history = [state.values.get("money") for state in counting(store.saver).get_state_history(thread)]
        assert history == [Money(2), Money(1), Money(1), Money(1), None, None]


AGENT = """
import sys
from dataclasses import dataclass
from typing import TypedDict
from langgraph.graph import START, StateGraph
from threadmill.checkpoints.store import open_store

@dataclass
class Money:
    amount: int

class Wallet(TypedDict):
    money: Money

graph = StateGraph(Wallet)
graph.add_node("earn", lambda state: {"money": Money(state["money"].amount + 1)})
graph.add_edge(START, "earn")
with open_store(sys.argv[1]) as store:
    agent = graph.compile(checkpointer=store.saver)
    thread = {"configurable": {"thread_id": "t"}}
    print(agent.invoke({"money": Money(1)} if sys.argv[2] == "new" else {}, thread))
"""

FORKS = """
import os, sys
import langgraph.graph, threadmill.checkpoints.store
url, *hows = sys.argv[1:]
for how in hows:
    sys.argv[1:] = url, how
    if not os.fork():
        import wallet
        sys.exit()
    os.wait()
"""


def test_langgraphs_strict_mode_allows_the_types_of_the_state_in_a_new_process_too(tmp_path: Path):
    (tmp_path / "wallet.py").write_text(AGENT)

    def run(strict: str, *hows: str) -> subprocess.CompletedProcess[str]:
        """One process after the other, forked from one that has imported LangGraph, which reads the setting then."""
        environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": strict, "THREADMILL_KEY": "00" * 32}
        command = [sys.executable, "-c", FORKS, f"sqlite:///{tmp_path}/runs.db", *hows]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = run("true", "new", "again")
    assert (done.stdout, done.stderr) == ("{'money': Money(amount=2)}\n{'money': Money(amount=3)}\n", "")
    assert "holds a wallet.Money, which is not on the allow-list" in run("false", "again").stderr


def test_an_allow_list_can_be_extended():
    strict = make_serializer()
    assert isinstance(strict, StrictSerializer)
    assert strict.with_msgpack_allowlist([Money, (__name__, "Order")]).loads_typed(written(Money(3))) == Money(3)
    with pytest.raises(UnknownType):
        strict.loads_typed(written(Money(3)))
