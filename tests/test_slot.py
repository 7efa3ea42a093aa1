"""The slot names the live version and loads each once; the scripted model speaks its script."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from threadmill.nodes import ScriptedModel, Slot


def test_a_fixed_slot_always_answers_with_its_model():
    model = ScriptedModel([])
    slot = Slot.fixed("desk.think", model, "desk.think@0007")
    assert slot.version_now() == "desk.think@0007"
    assert slot.model("desk.think@0007") is model


def test_a_second_caller_waits_instead_of_loading_twice():
    loads: list[str] = []

    def load(version: str) -> ScriptedModel:
        loads.append(version)
        sleep(0.05)
        return ScriptedModel([])

    slot = Slot("desk.think", lambda: "v1", load)
    start = Barrier(8)

    def ask(_: int) -> object:
        start.wait()
        return slot.model("v1")

    with ThreadPoolExecutor(8) as pool:
        models = set(map(id, pool.map(ask, range(8))))
    assert loads == ["v1"]
    assert len(models) == 1


def test_the_slot_keeps_every_version_it_loaded():
    slot = Slot("desk.think", lambda: "v2", lambda version: ScriptedModel([AIMessage(version)]))
    old = slot.model("v1")
    slot.model("v2")
    assert slot.loaded == ("v1", "v2")
    assert slot.model("v1") is old


def test_a_version_that_failed_to_load_is_tried_again():
    attempts: list[str] = []

    def load(version: str) -> ScriptedModel:
        attempts.append(version)
        if len(attempts) == 1:
            raise OSError("disk not ready")
        return ScriptedModel([])

    slot = Slot("desk.think", lambda: "v1", load)
    with pytest.raises(OSError, match="disk not ready"):
        slot.model("v1")
    assert slot.loaded == ()
    slot.model("v1")
    assert attempts == ["v1", "v1"]


def test_the_scripted_model_gives_its_replies_in_order_and_then_says_that_there_are_no_more():
    model = ScriptedModel([AIMessage("one"), AIMessage("two")])
    assert [model.invoke("?").text, model.bind_tools([]).invoke("?", seed=3).text] == ["one", "two"]
    with pytest.raises(IndexError, match="the script has 2 replies"):
        model.invoke("?")


def test_a_script_can_be_a_function_of_the_messages_and_is_never_changed():
    reply = AIMessage("hello")
    model = ScriptedModel(lambda messages: reply if messages[-1].text == "hi" else AIMessage("what?"))
    first, second = model.invoke([HumanMessage("hi")]), model.invoke([HumanMessage("hi")])
    assert (first.text, model.invoke("bye").text) == ("hello", "what?")
    assert first.id != second.id
    assert reply.id is None
