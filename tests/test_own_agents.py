"""Commands run agents of the user's own, named in the ``langgraph.json`` that LangGraph's dev server reads too."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_here import threadmill
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import open_store
from threadmill.cli.agents import open_agent
from threadmill.cli.main import app
from threadmill.cli.own_agents import open_own_agent
from threadmill.cli.own_slots import OwnSlots, read_models
from threadmill.cli.place import at_db
from threadmill.errors import BadModelSpec, UnknownSuite
from threadmill.graphs import run_thread
from typer.testing import CliRunner

SHOP = '''
from pathlib import Path
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot

@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def say(messages):
    if messages[-1].type == "human":
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": 300}, "id": "c1"}])
    return AIMessage(f"Done: {messages[-1].text}")

slot = Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001")
shop = build_react(slot, [pay], name="shop", ask=lambda name, args: "money")
compiled = shop.compile()
def made():
    return shop
def needy(config):
    return shop
def say_later(messages):
    if not Path("mended").exists():
        raise ConnectionError("nobody is there")
    return AIMessage("Here.")
frail = build_react(Slot.fixed("shop.think", ScriptedModel(say_later), "shop.think@0001"), [pay], name="shop")
def boom():
    raise KeyError("no shop")
def five():
    return 5
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "agents.py").write_text(SHOP)
    (tmp_path / "half.py").write_text("shop = (")
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": {"shop": {"path": "./agents.py:shop"}}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return tmp_path


def run(*arguments: Any) -> Any:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("variable", ["shop", "compiled", "made"])
def test_a_thread_of_one_s_own_agent_is_answered_forked_and_replayed(folder: Path, variable: str) -> None:
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"shop": f"./agents.py:{variable}"}}))
    with open_store("sqlite:///runs.db") as store:
        run_thread(open_own_agent(store, "shop", f"./agents.py:{variable}"), "t", "Pay.")
    (thread,) = run("threads", "list")["threads"]
    assert (thread["agent"], thread["status"], thread["questions"][0]["tool"]) == ("shop", "paused", "pay")
    assert run("threads", "edit", "t", "--args", '{"amount": 60}')["answer"] == "Done: paid 60"
    tree = run("threads", "tree", "t")
    at = next(one["checkpoint"] for one in tree["checkpoints"] if one["asks"])
    replay = run("threads", "replay", "t", "--at", at, "--recorded")
    assert (replay["status"], replay["divergence"]) == ("done", None)
    assert run("threads", "fork", "t", "--at", at, "--run")["status"] == "paused"
    assert run("threads", "approve", "t")["answer"] == "Done: paid 300"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("./agents.py:nobody", "has no attribute 'nobody'; work in the folder"),
        ("./agents.py:neddy", "has no attribute 'neddy'; did you mean needy"),
        ("./none.py:shop", "there is no file"),
        ("./agents.py:SHOPS", "cannot be loaded"),
        ("./agents.py:slot", "is a Slot, not a LangGraph graph"),
        ("./agents.py:needy", "needs config; resume its threads from Python"),
        ("./agents.py:boom", r"cannot be built by './agents.py:boom': KeyError: 'no shop' \(agents.py, line 31\)"),
        ("./agents.py:five", "'./agents.py:five' .* gives int, not a LangGraph graph"),
        ("./half.py:shop", "SyntaxError: '\\(' was never closed .*; mend it there"),
    ],
)
def test_what_is_no_agent_is_named(folder: Path, place: str, says: str) -> None:
    with open_store("sqlite:///runs.db") as store, pytest.raises(UnknownSuite, match=says):
        open_own_agent(store, "shop", place)


def test_a_run_that_fails_names_its_thread_and_how_it_goes_on(folder: Path) -> None:
    what = "ConnectionError: nobody is there (agents.py, line 27)"
    how = f"error: {what}; thread 't 1' keeps what was finished; go on with `threadmill threads continue 't 1'`\n"
    failed = threadmill("run", "agents.py:frail", "Hi", "--thread", "t 1")
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", how)
    again = threadmill("threads", "continue", "t 1", "--json")
    told = json.loads(again.stdout)
    assert (again.returncode, told["status"], told["answer"], told["error"]) == (1, "failed", None, what)
    (folder / "mended").touch()
    assert run("threads", "continue", "t 1")["answer"] == "Here."


def test_whoever_answers_is_told_that_the_agent_was_changed_meanwhile(folder: Path) -> None:
    threadmill("run", "agents.py:shop", "Pay.", "--thread", "t")
    (folder / "agents.py").write_text(SHOP.replace('name="shop", ask', 'name="shop", max_calls=3, ask'))
    answered = threadmill("threads", "approve", "t")
    assert (answered.returncode, answered.stdout) == (0, "t · done\nDone: paid 300\n")
    assert answered.stderr.startswith("the agent was changed since the thread was run: ")


def test_no_password_is_shown_in_what_is_to_be_typed() -> None:
    assert at_db("postgresql://eva:secret@host/runs") == " --db 'postgresql://eva:***@host/runs'"
    assert (at_db("sqlite:///runs.db"), at_db("sqlite:///my runs.db")) == ("", " --db 'sqlite:///my runs.db'")


def test_an_empty_turn_is_not_said(folder: Path) -> None:
    refused = threadmill("run", "agents.py:frail", " ")
    assert (refused.returncode, "TEXT: is empty" in refused.stderr) == (2, True)
    assert "'agents.py' names a file; say which" in threadmill("run", "agents.py", "Hi").stderr
    assert "thread_id says where a run is" in threadmill("run", "a.py:b", "Hi", "--set", "thread_id=x").stderr


CLERK = """
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from threadmill.nodes import ScriptedModel

named = create_agent(ScriptedModel(lambda messages: AIMessage(f"Heard {len(messages)}.")), [], name="clerk")
nameless = create_agent(ScriptedModel(lambda messages: AIMessage("Yes.")), [])
"""


def test_threads_of_a_plain_langchain_agent_run_on_by_the_name_that_the_list_shows(folder: Path) -> None:
    (folder / "clerks.py").write_text(CLERK)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"clerk": "./clerks.py:named"}}))
    with open_store("sqlite:///runs.db") as store:
        for name in ("named", "nameless"):
            agent = open_own_agent(store, name, f"./clerks.py:{name}")
            agent.invoke({"messages": [("user", "Hi.")]}, {"configurable": {"thread_id": name}})
    assert {one["thread"]: one["agent"] for one in run("threads", "list")["threads"]} == {
        "named": "clerk",
        "nameless": "",
    }
    at = run("threads", "tree", "named")["checkpoints"][1]["checkpoint"]
    forked = run("threads", "fork", "named", "--at", at, "--run")
    assert (forked["status"], len(run("threads", "tree", "named")["leaves"])) == ("done", 2)
    shown = CliRunner().invoke(app, ["threads", "show", "nameless"], catch_exceptions=False).stdout.splitlines()
    assert shown == ["thread nameless", "human  Hi.", "ai     Yes."]
    with pytest.raises(UnknownSuite, match="the thread does not say which agent wrote it"):
        CliRunner().invoke(app, ["threads", "continue", "nameless"], catch_exceptions=False)


BUILDERS = '''
from langchain_core.messages import AIMessage
from threadmill.graphs import AgentSpec, build_react
from threadmill.nodes import ScriptedModel, Slot

def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"

def build(slot):
    return build_react(slot, [pay], name="agents")

def build_desk(think: Slot, plan_slot):
    return build_react(think, [pay], name="desk", fallbacks=[plan_slot])

def make_free(slot_of):
    return AgentSpec("free", tools=(pay,))

def make_suited(slots):
    return build_react(slots["suited.think"], [pay], name="suited")
'''


@pytest.fixture
def builders(folder: Path) -> Path:
    (folder / "builders.py").write_text(BUILDERS)
    return folder


def listed(*names: str) -> dict[str, Any]:
    return {one["agent"]: one for one in run("agents", *names)["agents"]}


def test_the_list_says_what_each_agent_is_and_which_slots_it_has(builders: Path) -> None:
    named = {"shop": "./agents.py:shop", "built": "./builders.py:build", "gone": "./none.py:graph"}
    (builders / "langgraph.json").write_text(json.dumps({"graphs": named}))
    told = {name: (one["kind"], one["slots"], one["place"], one["where"]) for name, one in listed().items()}
    assert told == {
        "helpdesk": ("react", ["helpdesk.think"], "", "built in"),
        "shop": ("graph", [], "./agents.py:shop", "langgraph.json"),
        "built": ("function", ["built.think"], "./builders.py:build", "langgraph.json"),
        "gone": ("?", [], "./none.py:graph", "langgraph.json"),
    }
    assert "there is no file" in listed()["gone"]["trouble"]
    with pytest.raises(UnknownSuite, match="no agent 'nobody' is found"):
        CliRunner().invoke(app, ["agents", "nobody"], catch_exceptions=False)


def test_a_function_is_given_the_slots_that_its_parameters_name(builders: Path) -> None:
    slots = {
        place: listed(f"builders.py:{place}").popitem()[1]["slots"]
        for place in ("build", "build_desk", "make_free", "make_suited")
    }
    assert slots == {
        "build": ["builders.think"],
        "build_desk": ["desk.think", "desk.plan"],
        "make_free": ["free.think"],
        "make_suited": ["suited.think"],
    }


def test_a_thread_of_an_agent_by_path_is_answered_without_naming_it_again(folder: Path) -> None:
    (folder / "langgraph.json").unlink()
    paused = run("run", "agents.py:shop", "Pay.", "--thread", "t")
    assert (paused["status"], paused["questions"][0]["tool"]) == ("paused", "pay")
    assert [one["agent"] for one in run("threads", "list")["threads"]] == ["shop"]
    assert run("threads", "approve", "t")["answer"] == "Done: paid 300"
    (folder / "agents.py").rename(folder / "moved.py")
    with pytest.raises(UnknownSuite, match=r"agent 'shop' cannot be loaded from 'agents.py:shop': there is no file"):
        CliRunner().invoke(app, ["threads", "continue", "t"], catch_exceptions=False)
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"shop": "./moved.py:shop"}}))
    assert run("threads", "continue", "t")["answer"] == "Done: paid 300"
    assert run("run", "moved.py:shop", "Pay.", "--thread", "t")["status"] == "paused"
    assert run("threads", "approve", "t")["answer"] == "Done: paid 300"


def test_an_agent_without_a_model_says_what_to_add(builders: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text('name = "bare"\n')
    for agent, slot in (("bare.toml", "bare.think"), ("builders.py:build", "builders.think")):
        with pytest.raises(BadModelSpec, match=rf"nothing says which model answers in {slot}: give --model SPEC"):
            CliRunner().invoke(app, ["run", agent, "Hi."], catch_exceptions=False)
    with pytest.raises(BadModelSpec, match="agent 'shop' brings its own models"):
        CliRunner().invoke(app, ["run", "shop", "Hi.", "--model", "seed"], catch_exceptions=False)
    arguments = ["run", "bare.toml", "Hi.", "--model", "seed", "--model", "plan=seed"]
    with pytest.raises(BadModelSpec, match=r"the agent has no slot 'plan' for 'seed'; it has bare\.think"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    with pytest.raises(BadModelSpec, match=r"answers in bare\.think \(--model names one for thnik only\): give"):
        CliRunner().invoke(app, ["run", "bare.toml", "Hi.", "--model", "thnik=seed"], catch_exceptions=False)
    with pytest.raises(BadModelSpec, match="--model names 'seed' and 'x' for every slot; name one"):
        read_models(["seed", "x"])


def test_a_promoted_version_answers_the_next_turn_of_an_agent_in_toml(tmp_path: Path, tiny_folder: Path) -> None:
    file = tmp_path / "first.toml"
    file.write_text(f'name = "shop"\nmax_calls = 1\n[models]\nthink = "{tiny_folder}"\n')
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        agent = open_agent(store, str(file))
        assert agent.name == "shop"
        assert run_thread(agent, "t", "Hi.").versions == {"shop.think": str(tiny_folder)}
        register_version(store, "shop.think", tiny_folder, lineage={})
        promote(store, "shop.think", "0001", because="better")
        spoken = []
        while "shop.think@0001" not in spoken:  # loaded beside, while the other one goes on answering
            spoken.append(run_thread(agent, f"t{len(spoken)}", "And now?").versions["shop.think"])
            assert len(spoken) < 500
        chosen = open_agent(store, str(file), model=f"think={tiny_folder}")
        assert run_thread(chosen, "u", "Hi.").versions == {"shop.think": str(tiny_folder)}


def test_each_agent_of_a_supervisor_has_the_models_of_its_own_file(tmp_path: Path) -> None:
    first, second = ("http://127.0.0.1:9/v1#one", "http://127.0.0.1:9/v1#two")  # asked only when they are to speak
    (tmp_path / "desk.toml").write_text(f'name = "desk"\nstyle = "text"\n[models]\nthink = "{second}"\n')
    firm = tmp_path / "firm.toml"
    firm.write_text(
        f'name = "firm"\nkind = "supervisor"\nagents = {{desk = "desk.toml"}}\n[models]\nthink = "{first}"\n'
    )
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slots = {slot.name: slot for slot in open_agent(store, str(firm)).builder.nodes["observe"].runnable.func.slots}
        assert {name: slot.version_now() for name, slot in slots.items()} == {"firm.think": first, "desk.think": second}
        assert type(slots["desk.think"].model(second)).__name__ == "ReactChatModel"
        (tmp_path / "desk.toml").write_text('name = "desk"\n')
        with pytest.raises(BadModelSpec, match=r"nothing says which model answers in desk\.think"):
            open_agent(store, str(firm))


def test_an_installed_package_names_its_agents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = folder / "shopkit-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shopkit\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[threadmill.agents]\ncounter = agents:made\n")
    (folder / "langgraph.json").unlink()
    monkeypatch.syspath_prepend(str(folder))
    assert (listed()["counter"]["place"], listed()["counter"]["where"]) == ("agents:made", "shopkit")
    assert run("run", "counter", "Pay.", "--thread", "t")["status"] == "paused"
    assert run("threads", "approve", "t")["answer"] == "Done: paid 300"


def test_a_model_of_an_agent_in_text_style_calls_tools_in_text(tmp_path: Path) -> None:
    spec = "http://127.0.0.1:9/v1#some"  # asked only when it is to speak
    for text, kind in (((), "EndpointChatModel"), ({"desk"}, "ReactChatModel")):
        with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
            begun = OwnSlots(store, {}, {"think": spec}, text=text).open("desk.think")
            chosen = OwnSlots(store, {"": spec}, text=text).open("desk.think")
            assert [type(slot.model(spec)).__name__ for slot in (begun, chosen)] == [kind, kind]
