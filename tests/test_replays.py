"""Replays: a candidate is asked at every recorded decision, and nothing happens to the threads or the world."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from letter_world import write_thread
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.reading import checkpoint_tree
from threadmill.checkpoints.registry import register_version
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.where import Where
from threadmill.cli.main import app
from threadmill.errors import BadSuite, ContextOverflow
from threadmill.graphs.react import build_react
from threadmill.graphs.run import answer_thread, run_thread
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.nodes.models.trace import read_trace
from threadmill.training.replay_summary import Agreement, Human, disagreements, summarise_replays
from threadmill.training.replays import compare, read_decisions, replay
from threadmill.training.rollout import play
from threadmill.training.slots import open_slot
from threadmill.training.suites import open_suite
from typer.testing import CliRunner

PAID: list[int] = []


@tool
def look(item: str) -> str:
    """Where an item is."""
    return "row 3"


@tool
def pay(amount: int) -> str:
    """Pay."""
    PAID.append(amount)
    return "paid"


def call(name: str, id_: str = "c", **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": id_}


def saying(*calls: dict[str, Any], text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=list(calls))


TOOLS = [{"function": {"name": "look", "parameters": {"properties": {"item": {"type": "string"}}}}}]
LOOK, PAY = saying(call("look", item="tea")), saying(call("pay", amount=5))


@pytest.mark.parametrize(
    ("recorded", "proposal", "kind"),
    [
        (LOOK, saying(call("look", "other id", item="tea"), text="Let me see."), "same"),
        (LOOK, saying(call("look", item="salt")), "same_tool"),
        (PAY, LOOK, "other_tool"),
        (LOOK, AIMessage("In row 3."), "answers_instead"),
        (AIMessage("In row 3."), LOOK, "calls_instead"),
        (AIMessage("In row 3."), AIMessage("I do not know."), "both_answer"),
        (LOOK, PAY, "invalid"),  # it is not among the tools
        (LOOK, saying(call("look", item=3)), "invalid"),
        (LOOK, AIMessage("", invalid_tool_calls=[{"name": "look", "args": "{", "id": "", "error": ""}]), "invalid"),
        (AIMessage("", invalid_tool_calls=[{"name": "look", "args": "{", "id": "", "error": ""}]), LOOK, "same_tool"),
    ],
)
def test_a_proposal_is_compared_with_the_recorded_one(recorded: Any, proposal: Any, kind: str) -> None:
    assert compare(recorded, proposal, TOOLS) == kind


def test_the_order_of_calls_and_arguments_means_nothing() -> None:
    one = saying(call("a", x=1, y={"p": 1, "q": [2]}), call("b"))
    other = saying(call("b"), call("a", y={"q": [2], "p": 1}, x=1))
    assert compare(one, other, []) == "same"
    assert compare(one, saying(call("a", x=1, y={"p": 1, "q": [2]})), []) == "other_tool"


@pytest.fixture
def place(tmp_path: Any) -> Any:
    """Two threads: one looks, pays 300 (a person makes it 30) and thanks; the other wants to pay and may not."""
    PAID.clear()

    def live(messages: Any) -> AIMessage:
        said = [message.type for message in messages]
        if said.count("tool") == 0 and "tea" in messages[0].text + messages[1].text:
            return saying(call("look", "c1", item="tea"))
        if said.count("ai") < 2:
            return saying(call("pay", "c2", amount=300))
        return AIMessage("Thank you.")

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = Slot.fixed("shop.think", ScriptedModel(live), "shop.think@0001")
        graph = build_react(
            slot, [look, pay], system="Be kind.", name="shop", ask=lambda name, args: "money" if name == "pay" else None
        ).compile(checkpointer=store.saver)
        asked = run_thread(graph, "bought", "Buy tea.").questions
        answer_thread(graph, "bought", [{"id": asked[0]["id"], "type": "edit", "args": {"amount": 30}}])
        asked = run_thread(graph, "refused", "Send money.").questions
        asked = answer_thread(graph, "refused", [{"id": asked[0]["id"], "type": "reject", "text": "no"}]).questions
        if asked:
            answer_thread(graph, "refused", [{"id": asked[0]["id"], "type": "reject", "text": "no"}])
        labels = [Label("bought", None, None, "success", 1.0, "me"), Label("refused", None, None, "success", 0.0, "me")]
        add_labels(store, labels)
        yield store


def as_wanted(messages: Any) -> AIMessage:
    """The candidate: it looks for tea, pays 30, and asks before it sends money."""
    if messages[-1].text == "Buy tea.":
        return saying(call("look", "x", item="tea"))
    if messages[-1].text == "row 3":
        return saying(call("pay", "x", amount=30))
    return AIMessage("May I?")


def test_every_decision_is_asked_with_what_the_model_had(place: Store) -> None:
    found = read_decisions(place, Where())
    said = [(one.thread, one.decided, one.success, len(one.prompt)) for one in found.found]
    assert said == [
        ("bought", None, True, 2),
        ("bought", "edited", True, 4),
        ("bought", None, True, 6),
        ("refused", "rejected", False, 2),
        ("refused", "rejected", False, 4),
        ("refused", None, False, 6),
    ]
    first, second = found.found[:2]
    assert [type(message) for message in first.prompt] == [SystemMessage, HumanMessage]
    assert first.prompt[0].text == "Be kind."
    assert [tool["function"]["name"] for tool in second.tools] == ["look", "pay"]  # noted on the first answer only
    assert second.proposed.tool_calls[0]["args"] == {"amount": 300}
    assert second.instead is not None
    assert second.instead.tool_calls[0]["args"] == {"amount": 30}


def test_nothing_is_executed_and_no_thread_changes(place: Store) -> None:
    before = [[node.checkpoint for node in checkpoint_tree(place, name)] for name in ("bought", "refused")]
    paid = [*PAID]
    candidate = Slot.fixed("shop.think", ScriptedModel(as_wanted), "shop.think@0002")
    replayed = replay(read_decisions(place, Where()).found, candidate, workers=3)
    assert [one.kind for one in replayed] == [
        "same",
        "same_tool",
        "both_answer",
        "answers_instead",
        "answers_instead",
        "both_answer",
    ]
    assert [one.as_the_human for one in replayed] == [None, True, None, True, True, None]
    assert paid == PAID == [30]
    assert before == [[node.checkpoint for node in checkpoint_tree(place, name)] for name in ("bought", "refused")]


def test_agreement_is_told_by_tool_outcome_and_person(place: Store) -> None:
    candidate = Slot.fixed("shop.think", ScriptedModel(as_wanted), "shop.think@0002")
    replayed = replay(read_decisions(place, Where()).found, candidate)
    summary = summarise_replays(replayed)
    assert (summary.threads, summary.overall.share) == (2, 0.5)
    assert summary.by_tool == {
        "look": Agreement(1, 1, {"same": 1}),
        "pay": Agreement(3, 0, {"same_tool": 1, "answers_instead": 2}),
        "(answer)": Agreement(2, 2, {"both_answer": 2}),
    }
    assert {name: one.share for name, one in summary.by_outcome.items()} == {
        "success": pytest.approx(2 / 3),
        "failure": pytest.approx(1 / 3),
        "unlabelled": None,
    }
    assert (summary.edited, summary.rejected) == (Human(1, 1), Human(2, 2))
    first = disagreements(replayed)[0]
    assert (first["thread"], first["kind"], first["human"]) == ("bought", "same_tool", "edited")
    assert first["recorded"]["calls"] == [{"name": "pay", "args": {"amount": 300}}]
    assert first["human_wrote"]["calls"] == first["candidate"]["calls"] == [{"name": "pay", "args": {"amount": 30}}]
    assert first["checkpoint"] in {node.checkpoint for node in checkpoint_tree(place, "bought")}


def test_the_live_model_itself_agrees_and_repeats_what_was_rejected(place: Store) -> None:
    def live(messages: Any) -> AIMessage:
        recorded = {
            2: call("pay", "y", amount=300) if "money" in messages[1].text else call("look", "y", item="tea"),
            4: call("pay", "y", amount=300),
        }.get(len(messages))
        return saying(recorded) if recorded else AIMessage("Thank you.")

    replayed = replay(read_decisions(place, Where()).found, Slot.fixed("s", ScriptedModel(live), "live"))
    summary = summarise_replays(replayed)
    assert (summary.overall.share, disagreements(replayed)) == (1.0, [])
    assert (summary.edited, summary.rejected) == (Human(1, 0), Human(2, 0))


def test_decisions_at_which_nobody_can_be_asked_are_counted(place: Store) -> None:
    def overfull(messages: Any) -> AIMessage:
        if len(messages) > 4:
            raise ContextOverflow("the prompt has 9 tokens")
        return AIMessage("Hello.")

    replayed = replay(
        read_decisions(place, Where(thread="bought")).found, Slot.fixed("s", ScriptedModel(overfull), "x")
    )
    summary = summarise_replays(replayed)
    assert (summary.overall.decisions, summary.not_asked) == (2, {"the prompt has 9 tokens": 1})


def test_only_the_decisions_of_a_node_are_asked(place: Store) -> None:
    assert len(read_decisions(place, Where(), nodes={"think"}).found) == 6
    assert read_decisions(place, Where(nodes=("plan",))).left_out == {"no turn of plan": 2}


def test_the_command_tells_people_and_programs(place: Store, tiny_folder: Any) -> None:
    register_version(place, "shop.think", tiny_folder, lineage={})
    url = f"sqlite:///{place.place}"
    done = CliRunner().invoke(app, ["replays", "shop.think@0001", "--db", url, "--where", "agent=shop", "--json"])
    said = json.loads(done.stdout)
    assert (said["candidate"], said["decisions"], said["threads"]) == ("shop.think@0001", 6, 2)
    assert sum(said["overall"]["kinds"].values()) == 6 == said["overall"]["decisions"]
    assert len(said["disagreements"]) == 6 - said["overall"]["agreeing"]
    told = CliRunner().invoke(app, ["replays", str(tiny_folder), "--db", url])
    assert "What " in told.stdout
    assert "1 decisions were edited by a person" in told.stdout
    none = CliRunner().invoke(app, ["replays", str(tiny_folder), "--db", url, "--where", "thread=nix"])
    assert "no thread fits the conditions" in str(none.exception)


def test_decisions_are_a_suite_that_the_person_has_the_last_word_in(place: Store, tmp_path: Any) -> None:
    suite = open_suite(f"replay:sqlite:///{place.place}#agent=shop")
    assert (suite.name, suite.slots) == ("replay", ("shop.think",))
    tasks = suite.tasks("heldout", 9, 0)
    assert sorted(task.tier for task in tasks) == ["(answer)"] * 2 + ["look"] + ["pay"] * 3
    slots = {"shop.think": Slot.fixed("shop.think", ScriptedModel(as_wanted), "shop.think@0002")}
    with open_store(f"sqlite:///{tmp_path / 'played.db'}") as played_in:
        trials = play(played_in, suite, tasks, slots, trials=1, seed=0, workers=2)
    assert [trial.finished.met for trial in trials] == [2] * 6
    assert PAID == [30]
    paying = {"shop.think": Slot.fixed("shop.think", ScriptedModel(lambda _: saying(call("pay", amount=300))), "x")}
    with open_store(f"sqlite:///{tmp_path / 'stubborn.db'}") as played_in:
        trials = play(played_in, suite, tasks, paying, trials=1, seed=0, workers=2)
    met = {(task.tier, task.decision.decided): trial.finished.met for task, trial in zip(tasks, trials, strict=True)}
    assert met == {
        ("look", None): 0,
        ("pay", "edited"): 1,  # the right tool, another amount than the person's
        ("pay", "rejected"): 0,
        ("(answer)", None): 0,
    }
    assert PAID == [30]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("agent=shop", "does not say which database"),
        ("{url}#thread=nix", r"finds 0 decisions of 0 slots \(none\)"),
        ("postgresql://eva:secret@host/runs#agent=bank", "replay:postgresql://… holds a password"),
    ],
)
def test_replays_that_cannot_be_a_suite_are_refused(place: Store, name: str, words: str) -> None:
    with pytest.raises(BadSuite, match=words):
        open_suite("replay:" + name.format(url=f"sqlite:///{place.place}"))


def test_the_prompt_is_the_recorded_one_to_the_token(tmp_path: Any, tiny_folder: Any) -> None:
    """Asked with the recorded seed and temperature, the same weights draw the same tokens again."""
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slot = open_slot(store, "shop.think", str(tiny_folder), max_new_tokens=6)
        graph = build_react(slot, [look, pay], system="Be kind.", name="shop").compile(checkpointer=store.saver)
        for text in ("Buy tea.", "And salt?", "Thanks"):
            run_thread(graph, "t", text, configurable={"seed": 7})
        found = read_decisions(store, Where()).found
        model = slot.model(str(tiny_folder))
        for decision in found:
            recorded = read_trace(decision.proposed)
            assert recorded is not None
            asked = model.bind_tools([*decision.tools])
            again = read_trace(asked.invoke([*decision.prompt], seed=recorded.settings["seed"]))
            assert again is not None
            assert again.sampled_ids == recorded.sampled_ids
    assert len(found) == 3


def test_threads_that_do_not_say_which_tools_there_were_are_left_out(tmp_path: Any) -> None:
    """Without them a candidate could only answer."""
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        write_thread(store, "foreign", [HumanMessage("Where is the tea?", id="h"), LOOK.model_copy(update={"id": "a"})])
        write_thread(store, "talk", [HumanMessage("Hi", id="h"), AIMessage("Hello.", id="a")])
        found = read_decisions(store, Where())
    assert [one.thread for one in found.found] == ["talk"]
    assert found.left_out == {"nobody noted which tools its model had": 1}
