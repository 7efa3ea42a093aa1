"""New weights while threads are answered: nobody fails, nobody mixes versions, every trace names the right one."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import build_tiny
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from peft import LoraConfig, get_peft_model
from threadmill.checkpoints import open_store
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.registry import promote, register_version, rollback
from threadmill.errors import BadModelFolder, BadModelSpec, UnknownVersion
from threadmill.graphs import build_react
from threadmill.graphs.run import run_thread
from threadmill.nodes.models.loaded import open_version
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.trace import read_trace
from threadmill.training.slots import open_slot

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT asks for it

SWAPS = 20
CALLERS = 32


def write_adapter(folder: Path, base: Path, model: Any, seed: int) -> Path:
    """A LoRA adapter of random weights, large enough to change what is said."""
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    adapted.unload()
    return folder


@pytest.fixture
def adapters(tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any) -> list[str]:
    """Folders of 20 adapters."""
    return [
        str(write_adapter(tmp_path / f"adapter{i:02d}", tiny_folder, build_tiny(tiny_tokenizer), seed=i))
        for i in range(SWAPS)
    ]


def opened(sources: dict[str, str]) -> dict[str, Any]:
    """The model of each version."""
    return {version: open_version(version, source).model for version, source in sources.items()}


def differs(models: dict[str, Any], messages: list[BaseMessage]) -> float:
    """The largest difference between recorded logprobs and those of the version that the trace names."""
    worst, seen = 0.0, []
    for message in messages:
        trace = read_trace(message)
        if trace is None:
            continue
        assert not trace.restart
        seen += trace.prompt_ids
        ids = torch.tensor([[*seen, *trace.sampled_ids]])
        with torch.no_grad():
            logits = models[trace.version](ids).logits[0, len(seen) - 1 : -1]
        scores = torch.log_softmax(logits, -1).gather(1, torch.tensor(trace.sampled_ids)[:, None])[:, 0]
        worst = max(worst, float((scores - torch.tensor(trace.logprobs)).abs().max()))
        seen += trace.sampled_ids
    return worst


def test_twenty_swaps_under_thirty_two_callers(tiny_folder: Path, adapters: list[str]) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=5)
    sources = {"t@0000": str(tiny_folder)}
    done = threading.Event()
    threads: list[list[BaseMessage]] = [[] for _ in range(CALLERS)]
    errors: list[BaseException] = []

    def talk(messages: list[BaseMessage], number: int) -> None:
        try:
            while len(messages) < 12 and not done.is_set():
                messages.append(HumanMessage(f"{number}?"))
                messages.append(model.invoke(messages, seed=number))
                if len(messages) == 12 and not done.is_set():
                    kept.append(list(messages))
                    messages.clear()  # a new conversation
        except BaseException as error:
            errors.append(error)

    kept: list[list[BaseMessage]] = []
    callers = [threading.Thread(target=talk, args=(messages, i)) for i, messages in enumerate(threads)]
    for caller in callers:
        caller.start()
    for number, adapter in enumerate(adapters, 1):
        model.take(f"t@{number:04d}", adapter)
        sources[f"t@{number:04d}"] = adapter
        question: list[BaseMessage] = [HumanMessage("Who answers?")]
        kept.append([*question, model.invoke(question, seed=number)])  # loading is quick: each one gets to speak
    done.set()
    for caller in callers:
        caller.join()
    assert errors == []
    assert model.version == "t@0020"
    assert len(model.versions) == 3  # the others were let go
    spoken = [*kept, *threads]
    versions = {trace.version for messages in spoken for m in messages if (trace := read_trace(m))}
    assert versions >= {f"t@{number:04d}" for number in range(1, SWAPS + 1)}
    # the weights differ enough that tokens under another version could not pass for its own
    models = opened(sources)
    assert max(differs(models, messages) for messages in spoken) < 1e-4
    wrong = dict.fromkeys(models, models["t@0000"])
    assert max(differs(wrong, messages) for messages in spoken) > 0.1
    model.close()


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_answering(tiny_folder: Path, adapters: list[str]) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=5)
    weights = Path(adapters[0]) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(BadModelFolder, match="adapter00"):
        model.take("t@0001", adapters[0])
    assert (model.version, model.versions) == ("t@0000", ("t@0000",))
    answer = read_trace(model.invoke("Still there?"))
    assert answer is not None
    assert answer.version == "t@0000"
    model.take("t@0001", adapters[1])  # a name that never answered may be used for other weights
    assert model.version == "t@0001"
    model.close()


def test_going_back_is_the_same_call(tiny_folder: Path, adapters: list[str]) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=5)
    before = model.invoke("Say it.", seed=1)
    model.take("t@0001", adapters[0])
    assert model.invoke("Say it.", seed=1).text != before.text
    model.take("t@0000", str(tiny_folder))
    assert model.invoke("Say it.", seed=1).text == before.text
    model.close()


def test_a_run_stays_on_its_version_even_after_it_was_let_go(tiny_folder: Path, adapters: list[str]) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=5)
    staying = model.at("t@0000")
    before = staying.invoke("Say it.", seed=1)
    for number, adapter in enumerate(adapters[:5], 1):
        model.take(f"t@{number:04d}", adapter)
    assert "t@0000" not in model.versions
    assert staying.invoke("Say it.", seed=1).text == before.text
    assert (staying.version, model.version) == ("t@0000", "t@0005")
    model.close()


def test_versions_are_dropped_and_never_change(tiny_folder: Path, adapters: list[str]) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=5)
    model.take("t@0001", adapters[0])
    with pytest.raises(BadModelSpec, match=r"'t@0001' was taken from .*adapter00.* before, now from .*adapter01"):
        model.take("t@0001", adapters[1])
    with pytest.raises(UnknownVersion, match="'t@0001' is the version that answers"):
        model.drop("t@0001")
    model.drop("t@0000")
    assert model.versions == ("t@0001",)
    with pytest.raises(UnknownVersion, match="this model has no version 't@0000'; it has t@0001"):
        model.at("t@0000")
    model.close()


def test_threads_of_a_graph_follow_the_alias_and_go_back(
    tmp_path: Path, tiny_folder: Path, adapters: list[str]
) -> None:
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        folders = {}
        for folder in (str(tiny_folder), *adapters[:3]):
            name = register_version(store, "chat.think", Path(folder), lineage={}).name
            folders[name] = folder
        first, *others = folders
        promote(store, "chat.think", first, because="first")
        slot = open_slot(store, "chat.think", max_new_tokens=5)
        graph = build_react(slot, []).compile(checkpointer=store.saver)
        for version in (first, *others):
            promote(store, "chat.think", version, because="next")
            slot.catch_up()
            run_thread(graph, "x", "Hello.", configurable={"seed": 1})
        rollback(store, "chat.think", because="no better")
        run_thread(graph, "x", "And back.", configurable={"seed": 1})
        spoken = [message for message in read_messages(store, "x") if isinstance(message, AIMessage)]
        assert [message.response_metadata["version"] for message in spoken] == [first, *others, others[1]]
        assert differs(opened(folders), read_messages(store, "x")) < 1e-4
