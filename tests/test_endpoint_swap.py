"""Versions of an endpoint: adapters are taken, pinned, dropped and found again, and every trace names the right one."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import ModelServer, scores, serving
from threadmill.errors import BadModelFolder, BadModelSpec, EndpointFailed, UnknownVersion
from threadmill.nodes.models.endpoint import EndpointChatModel
from threadmill.nodes.models.trace import read_trace

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture
def server(tiny_folder: Path) -> Iterator[ModelServer]:
    with serving(tiny_folder) as listening:
        yield listening


@pytest.fixture(scope="module")
def adapters(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two adapters whose weights are far from nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders = (tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b"))
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        adapted = get_peft_model(
            AutoModelForCausalLM.from_pretrained(tiny_folder),
            LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False),
        )
        adapted.save_pretrained(str(folder))
    return folders


def at(server: ModelServer, *waits_s: float) -> EndpointChatModel:
    return EndpointChatModel.from_server(server.url, "tiny", version="t@0001", waits_s=waits_s, max_new_tokens=6)


def speaker(server: ModelServer, answer: Any) -> tuple[str, list[str]]:
    """The version that an answer names, and the weights at the server under which its tokens score as recorded."""
    trace = read_trace(answer)
    assert trace is not None
    weights = {"base": server.model, **{Path(path).name[0]: model for path, model, _ in server.adapters.values()}}
    same = []
    for name, model in weights.items():
        plain = scores(model, trace.prompt_ids, trace.sampled_ids)
        if max(abs(one - other) for one, other in zip(plain, trace.logprobs, strict=True)) <= 1e-4:
            same.append(name)
    return trace.version, same


def test_a_version_is_taken_beside_the_old_one_and_given_back(server: ModelServer, adapters: Any) -> None:
    model = at(server)
    first = model.at("t@0001")
    assert speaker(server, model.invoke("Hi")) == ("t@0001", ["base"])
    model.take("t@0002", str(adapters[0]))
    assert (model.version, model.versions, first.version) == ("t@0002", ("t@0001", "t@0002"), "t@0001")
    assert speaker(server, model.invoke("Hi")) == ("t@0002", ["a"])
    assert speaker(server, first.invoke("Hi")) == ("t@0001", ["base"])
    model.take("t@0003", str(adapters[1]))
    assert speaker(server, model.invoke("Hi")) == ("t@0003", ["b"])
    model.take("t@0002", str(adapters[0]))  # a rollback
    assert speaker(server, model.invoke("Hi")) == ("t@0002", ["a"])
    model.take("t@0001", server.url)
    assert speaker(server, model.invoke("Hi")) == ("t@0001", ["base"])
    assert sorted(len(name) for name in server.adapters) == [len("t@0002-12345678")] * 2


def test_an_adapter_that_fails_to_load_changes_nothing(
    server: ModelServer, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    model = at(server)
    model.take("t@0002", str(adapters[0]))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}')
    with pytest.raises(EndpointFailed, match=r"did not load t@0003 from .*: Loading lora .* failed: .*; t@0002 keeps"):
        model.take("t@0003", str(tmp_path))
    assert (model.version, model.versions) == ("t@0002", ("t@0001", "t@0002"))
    assert speaker(server, model.invoke("Hi")) == ("t@0002", ["a"])


def test_full_weights_are_refused_before_the_server_is_asked(server: ModelServer, tiny_folder: Path) -> None:
    model = at(server)
    with pytest.raises(BadModelFolder, match=r"holds full weights; the running server .* t@0001 keeps answering"):
        model.take("t@0002", str(tiny_folder))
    assert model.versions == ("t@0001",)


def test_a_server_that_takes_no_adapters_says_what_it_needs(server: ModelServer, adapters: tuple[Path, Path]) -> None:
    model = EndpointChatModel.from_server(server.url.replace("/v1", "/web"), "tiny", version="t@0001", waits_s=())
    with pytest.raises(EndpointFailed, match=r"Not Found \(vLLM takes adapters with --enable-lora and VLLM_ALLOW_RUN"):
        model.take("t@0002", str(adapters[0]))


def test_a_version_never_changes_its_weights(server: ModelServer, adapters: tuple[Path, Path]) -> None:
    model = at(server)
    model.take("t@0002", str(adapters[0]))
    with pytest.raises(BadModelSpec, match=r"version 't@0002' was taken from .* before, now from .*; a version never"):
        model.take("t@0002", str(adapters[1]))


def test_what_another_process_loaded_is_used_and_what_it_named_alike_is_not(
    server: ModelServer, adapters: tuple[Path, Path]
) -> None:
    one, other = at(server), at(server)
    one.take("t@0002", str(adapters[0]))
    other.take("t@0002", str(adapters[0]))
    assert speaker(server, other.invoke("Hi")) == ("t@0002", ["a"])
    third = at(server)
    third.take("t@0002", str(adapters[1]))  # of another project: the same name, other weights
    assert speaker(server, third.invoke("Hi")) == ("t@0002", ["b"])
    assert speaker(server, one.invoke("Hi")) == ("t@0002", ["a"])


def test_a_dropped_version_is_unloaded_and_named_when_asked_for(
    server: ModelServer, adapters: tuple[Path, Path]
) -> None:
    model = at(server)
    model.take("t@0002", str(adapters[0]))
    old = model.at("t@0002")
    with pytest.raises(UnknownVersion, match="'t@0002' answers new calls; take another version before"):
        model.drop("t@0002")
    model.take("t@0003", str(adapters[1]))
    model.drop("t@0002")
    assert [path for path, _, _ in server.adapters.values()] == [str(adapters[1])]
    assert model.versions == ("t@0001", "t@0003")
    with pytest.raises(UnknownVersion, match=r"version 't@0002' is not loaded at http.*; there is t@0001, t@0003"):
        old.invoke("Hi")


def test_a_dropped_version_finishes_its_calls_first(server: ModelServer, adapters: tuple[Path, Path]) -> None:
    model = at(server)
    model.take("t@0002", str(adapters[0]))
    server.faults.append({"pause_s": 0.1})
    stream = model.stream("Hi")
    chunks = [next(stream)]
    model.take("t@0001", server.url)
    model.drop("t@0002")
    assert len(server.adapters) == 1
    chunks += stream
    assert chunks[-1].response_metadata["trace"]["version"] == "t@0002"
    wait_until(lambda: not server.adapters)


def test_a_server_started_anew_in_mid_run_gets_its_adapter_back(
    server: ModelServer, adapters: tuple[Path, Path]
) -> None:
    model = at(server, *[0.1] * 60)
    model.take("t@0002", str(adapters[0]))
    server.stop()
    threading.Timer(0.3, server.start).start()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.invoke, ["One", "Two", "Three", "Four"]))
    assert [speaker(server, answer) for answer in answers] == [("t@0002", ["a"])] * 4


def test_so_it_is_in_an_event_loop(server: ModelServer, adapters: tuple[Path, Path]) -> None:
    model = at(server, *[0.1] * 60)
    model.take("t@0002", str(adapters[0]))
    server.stop()
    threading.Timer(0.3, server.start).start()

    async def ask() -> list[Any]:
        answers = await asyncio.gather(*(model.ainvoke(text) for text in ("One", "Two", "Three")))
        await model.aclose()
        return answers

    assert [speaker(server, answer) for answer in asyncio.run(ask())] == [("t@0002", ["a"])] * 3


def test_an_adapter_that_cannot_come_back_is_named(
    server: ModelServer, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    moved = tmp_path / "adapter"
    moved.symlink_to(adapters[0])
    model = at(server)
    model.take("t@0002", str(moved))
    server.stop()
    server.start()
    moved.unlink()
    with pytest.raises(EndpointFailed, match=r"did not load t@0002 from .*adapter: .*; the server seems to have been"):
        model.invoke("Hi")


def test_thirty_two_threads_go_through_twenty_swaps_and_mix_nothing(
    server: ModelServer, adapters: tuple[Path, Path]
) -> None:
    model = at(server)
    sources = {"t@0001": server.url, "t@0002": str(adapters[0]), "t@0003": str(adapters[1])}
    for version, source in sources.items():
        model.take(version, source)
    done = threading.Event()
    answers: list[Any] = []

    def talk(number: int) -> None:
        while not done.is_set():
            answers.append(model.invoke(f"Hi {number}"))

    with ThreadPoolExecutor(32) as pool:
        talks = [pool.submit(talk, number) for number in range(32)]
        for swap in range(20):
            time.sleep(0.1)
            version = sorted(sources)[swap % 3]
            model.take(version, sources[version])
        done.set()
    for talk_ in talks:
        talk_.result()
    right = {"t@0001": ["base"], "t@0002": ["a"], "t@0003": ["b"]}
    spoken = [speaker(server, answer) for answer in answers]
    assert {version for version, _ in spoken} == set(right)
    assert [one for one in spoken if one[1] != right[one[0]]] == []


def wait_until(question: Callable[[], bool]) -> None:
    for _ in range(200):
        if question():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come true within 4 s")
