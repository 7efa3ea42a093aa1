"""What a SPEC names, and slots that answer elsewhere."""

import doctest
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command_here import threadmill
from endpoint_server import serving
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadModelSpec, UnknownSlot
from threadmill.graphs.run import read_outcome
from threadmill.nodes.models.endpoint import EndpointChatModel
from threadmill.nodes.models.trace import read_trace
from threadmill.training.slots import KEY_VARIABLE, SEED_POLICY, Spec, model_folder, open_slot, read_spec
from threadmill.training.worlds.helpdesk.agent import build_helpdesk


def test_the_examples_run() -> None:
    outcome = doctest.testmod(import_module("threadmill.training.slots"))
    assert (outcome.attempted, outcome.failed) == (2, 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("seed", Spec("folder", str(SEED_POLICY))),
        ("helpdesk.think@live", Spec("version", "helpdesk.think@live")),
        ("helpdesk.think@0003", Spec("version", "helpdesk.think@0003")),
        ("Qwen/Qwen3-0.6B", Spec("folder", "Qwen/Qwen3-0.6B")),
        ("gpt2", Spec("folder", "gpt2")),
        ("http://gpu:8000/v1#Qwen/Qwen3", Spec("endpoint", "http://gpu:8000/v1", "Qwen/Qwen3")),
        ("https://[::1]/v1/#shop.think@0003-1a", Spec("endpoint", "https://[::1]/v1", "shop.think@0003-1a")),
        ("openai:gpt-5", Spec("provider", "openai:gpt-5")),
        ("ollama:llama3.2:1b", Spec("provider", "ollama:llama3.2:1b")),
        ("google_vertexai:claude@20240620", Spec("provider", "google_vertexai:claude@20240620")),
        ("azure_openai:team/model#2", Spec("provider", "azure_openai:team/model#2")),
    ],
)
def test_every_form_of_a_spec(text: str, named: Spec) -> None:
    assert read_spec(text) == named


def test_an_existing_folder_is_one_whatever_its_name_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("models@2", "ollama:mine", "plain"):
        Path(name).mkdir()
    for text in ("./models@2", f"{tmp_path}/models@2", "ollama:mine", "plain"):
        assert read_spec(text) == Spec("folder", str(Path(text)))
    assert read_spec("models@2").kind == "version"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("./nowhere@2", "the model folder './nowhere@2' does not exist"),
        ("C:\\models\\mine", "the model folder 'C:\\\\\\\\models\\\\\\\\mine' does not exist"),
        ("D:/models@2", "the model folder 'D:/models@2' does not exist"),
        ("org/model@main", "A hub name's revision has no form here"),
        ("", "'' names no model"),
        ("http://gpu:8000/v1", r"does not say which model; add its name, as in http://gpu:8000/v1#name"),
        ("ftp://gpu/v1#x", "'ftp://gpu/v1' is no address of a model server"),
        ("http://#x", "'http://' is no address"),
        ("gpu:8000/v1#x", "looks like an address; write http://gpu:8000/v1#x"),
        ("http://eva:secret@gpu/v1#x", f"keep keys out of it; set {KEY_VARIABLE} instead"),
    ],
)
def test_what_names_nothing_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BadModelSpec, match=said) as refused:
        read_spec(text)
    assert "secret" not in str(refused.value)


def test_weights_are_not_looked_for_at_an_address() -> None:
    for text, what in (("http://gpu:8000/v1#x", "an endpoint"), ("openai:gpt-5", "a provider's model")):
        with pytest.raises(BadModelSpec, match=f"is {what}; weights are needed here: give a version, a folder"):
            model_folder(None, text)
    assert model_folder(None, "seed") == str(SEED_POLICY)
    with pytest.raises(BadModelSpec, match="is a version in a registry; name its database with --db"):
        model_folder(None, "helpdesk.think@live")


def test_a_slot_of_an_endpoint_is_named_by_its_spec_and_gets_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sesame")
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store, serving(tiny_folder) as server:
        spec = f"{server.url}#tiny"
        slot = open_slot(store, "helpdesk.think", spec, temperature=0.5, max_new_tokens=3)
        model: Any = slot.model(slot.version_now())
        answer = model.invoke("Hi")
        trace = read_trace(answer)
        assert isinstance(model, EndpointChatModel)
        assert trace is not None
        assert (slot.version_now(), trace.version, trace.settings["temperature"]) == (spec, spec, 0.5)
        assert server.heads[-1]["authorization"] == "Bearer sesame"
        assert "sesame" not in repr(model)


def test_an_unknown_slot_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store, pytest.raises(UnknownSlot):
        open_slot(store, "helpdesk.think", "nobody.think@live")


def test_the_command_runs_a_thread_at_an_endpoint(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path / 'runs.db'}"
    with serving(SEED_POLICY, "seed") as server:
        server.says += ["Gift wrapping is free.", "Yes."]
        spec = f"{server.url}#seed"
        first = command("run", "helpdesk", "What does gift wrapping cost?", "--model", spec, "--db", db)
        again = command("run", "helpdesk", "Really?", "--thread", first["thread"], "--model", spec, "--db", db)
    assert (first["status"], first["answer"]) == ("done", "Gift wrapping is free.")
    assert (again["answer"], again["versions"]) == ("Yes.", {"helpdesk.think": spec})
    with open_store(db) as store:
        slot = open_slot(store, "helpdesk.think", "seed")
        agent = build_helpdesk(slot).compile(checkpointer=store.saver, name="helpdesk")
        config: Any = {"configurable": {"thread_id": first["thread"]}}
        messages = agent.get_state(config).values["messages"]
        assert read_outcome(agent, first["thread"]).status == "done"
    one, other = (read_trace(message) for message in messages if message.type == "ai")
    assert one is not None
    assert other is not None
    assert (one.version, one.restart, other.restart) == (spec, False, False)
    assert len(other.prompt_ids) < len(one.prompt_ids)


def test_a_command_that_names_no_model_says_what_to_write(tmp_path: Path) -> None:
    done = threadmill("run", "helpdesk", "Hi", "--model", "http://127.0.0.1:9", "--db", f"sqlite:///{tmp_path}/r.db")
    assert done.returncode == 1
    assert "http://127.0.0.1:9#name" in done.stderr
    assert "Traceback" not in done.stderr


def command(*arguments: str) -> Any:
    done = threadmill(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
