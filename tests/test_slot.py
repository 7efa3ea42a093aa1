"""The slot names the live version and loads each once; the scripted model speaks its script."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
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


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        sleep(0.01)
    raise AssertionError("it never came")


def test_the_version_before_answers_until_the_live_one_is_loaded():
    live, may_load = ["v1"], Event()

    def load(version: str) -> ScriptedModel:
        if version == "v2":
            assert may_load.wait(10)
        return ScriptedModel([])

    slot = Slot("desk.think", lambda: live[0], load)
    assert slot.version_now() == "v1"
    slot.model("v1")
    live[0] = "v2"
    assert [slot.version_now() for _ in range(3)] == ["v1", "v1", "v1"]
    may_load.set()
    wait_for(lambda: slot.version_now() == "v2")
    live[0] = "v1"  # and back
    assert slot.version_now() == "v1"


def test_who_wants_the_live_version_at_once_waits_for_it():
    live = ["v1"]
    slot = Slot("desk.think", lambda: live[0], lambda version: ScriptedModel([]))
    slot.version_now()
    live[0] = "v2"
    assert slot.catch_up() == "v2"
    assert slot.version_now() == "v2"


def test_a_live_version_that_cannot_be_loaded_changes_nothing_and_is_tried_again_later(caplog):
    live, attempts, now = ["v1"], [], [0.0]

    def load(version: str) -> ScriptedModel:
        attempts.append(version)
        if version == "v2" and attempts.count("v2") < 3:
            raise OSError("weights are torn")
        return ScriptedModel([])

    slot = Slot("desk.think", lambda: live[0], load, clock=lambda: now[0])
    slot.model(slot.version_now())
    live[0] = "v2"
    slot.version_now()
    wait_for(lambda: slot.trouble)
    assert slot.trouble == "v2 could not be loaded: weights are torn"
    wait_for(lambda: caplog.messages)
    assert caplog.messages == ["slot desk.think stays on v1: v2 could not be loaded: weights are torn"]
    assert slot.version_now() == "v1"
    with pytest.raises(OSError, match="weights are torn"):
        slot.catch_up()
    assert attempts == ["v1", "v2", "v2"]
    now[0] = 29.0
    assert slot.version_now() == "v1"
    assert attempts == ["v1", "v2", "v2"]
    now[0] = 31.0
    slot.version_now()
    wait_for(lambda: slot.version_now() == "v2")
    assert slot.trouble == ""


def loads_but(*broken: str) -> Callable[[str], ScriptedModel]:
    def load(version: str) -> ScriptedModel:
        if version in broken:
            raise OSError("weights are torn")
        return ScriptedModel([])

    return load


def test_going_back_from_a_first_version_that_never_loaded_takes_effect_at_once():
    live = ["v2"]
    slot = Slot("desk.think", lambda: live[0], loads_but("v2"))
    with pytest.raises(OSError, match="weights are torn"):
        slot.model(slot.version_now())
    live[0] = "v1"
    assert slot.version_now() == "v1"


def test_an_old_version_that_a_run_still_needs_does_not_hide_why_the_live_one_is_silent():
    live = ["v1"]
    slot = Slot("desk.think", lambda: live[0], loads_but("v0", "v2"), clock=lambda: 0.0)
    slot.model(slot.version_now())
    with pytest.raises(OSError, match="weights are torn"):
        slot.model("v0")
    assert slot.trouble == ""  # the live one answers
    live[0] = "v2"
    with pytest.raises(OSError, match="weights are torn"):
        slot.catch_up()
    slot.model("v3")
    assert (slot.version_now(), slot.trouble) == ("v1", "v2 could not be loaded: weights are torn")


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


def test_a_candidate_answers_where_neither_is_loaded_unless_it_cannot_be():
    def load(version: str) -> ScriptedModel:
        if version == "broken":
            raise OSError("no such weights")
        return ScriptedModel([])

    def slot(candidate: str) -> Slot:
        return Slot("desk.think", lambda: "v1", load, assign=lambda *_: (candidate, False))

    assert slot("v2").version_for("t", None) == "v2"
    assert slot("broken").version_for("t", None) == "v1"
    warm = slot("v2")
    warm.model("v1")
    assert warm.version_for("t", None) == "v1"
