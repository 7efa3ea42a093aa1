"""The benchmark of decoding: its document, and that the others do the same work as our decode thread."""

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module with the other decoders."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("other_decoders")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., dict[str, Any]]]:
    """Gives the document of a run of the script, in this process: importing takes longer than the run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("decoding")

    def run(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["decoding.py", "--quick", "--json", *arguments])
        script.main()
        return json.loads(capsys.readouterr().out)

    shown = transformers.logging.is_progress_bar_enabled()
    yield run
    logging.disable(logging.NOTSET)
    if shown:
        transformers.logging.enable_progress_bar()


def open_other(others: Any, name: str, model: Any, end_ids: frozenset[int], temperature: float) -> Any:
    """One of the other decoders; the manager knows its temperature from the start."""
    if name == "generate":
        return others.OneAtATime(model, end_ids)
    return others.ContinuousBatching(model, end_ids, temperature=temperature, num_blocks=64)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("name", ["generate", "continuous batching"])
def test_the_others_record_the_logprobs_of_a_plain_forward_pass(
    others: Any, tiny_model: Any, name: str, temperature: float
) -> None:
    decoder = open_other(others, name, tiny_model, frozenset(), temperature)
    prompts = [[7, 8, 9], [3, 4], list(range(10, 60))]
    futures = [
        decoder.submit(prompt, max_new_tokens=12, temperature=temperature, seed=seed)
        for seed, prompt in enumerate(prompts)
    ]
    answers = [future.result(timeout=60) for future in futures]
    decoder.close()
    for prompt, sampled in zip(prompts, answers, strict=True):
        with torch.no_grad():
            logits = tiny_model(torch.tensor([[*prompt, *sampled.ids]])).logits[0, len(prompt) - 1 : -1]
        plain = torch.log_softmax(logits / (temperature or 1.0), -1).gather(1, torch.tensor(sampled.ids)[:, None])[:, 0]
        assert (len(sampled.ids), sampled.finish) == (12, "length")
        assert (plain - torch.tensor(sampled.logprobs)).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["generate", "continuous batching"])
def test_the_others_stop_at_the_same_tokens_and_keep_them(others: Any, tiny_model: Any, name: str) -> None:
    with torch.no_grad():
        likeliest = int(tiny_model(torch.tensor([[7, 8, 9]])).logits[0, -1].argmax())
    decoder = open_other(others, name, tiny_model, frozenset({likeliest, 5}), 0.0)
    sampled = decoder.submit([7, 8, 9], max_new_tokens=12, temperature=0.0, seed=0).result(timeout=60)
    decoder.close()
    assert (sampled.ids, len(sampled.logprobs), sampled.finish) == ((likeliest,), 1, "stop")


def test_a_quick_run_gives_the_document(run: Callable[..., dict[str, Any]]) -> None:
    document = run()
    assert (document["name"], document["better"]) == ("decoding", "higher")
    assert [(result["what"], result["goal"]) for result in document["detail"]["results"]] == [
        ("tokens per second of 2 agent threads, ours over generate", 3.5),
        ("tokens per second of 2 agent threads, ours over continuous batching", 1.2),
    ]
    ours, generate, manager, none = document["detail"]["agent_threads"]
    assert [record["decoder"] for record in (ours, generate, manager, none)] == [
        "ours",
        "generate",
        "continuous batching",
        "no decoder",
    ]
    assert document["ratio"] == generate["ours_over_it"] > 0
    assert (none["calls"], none["tokens"]) == (ours["calls"], ours["tokens"])  # the same threads once more
    assert document["detail"]["around_the_decoder"][0]["share_of_seconds"] < 1
    tokens = {record["tokens"] for record in document["detail"]["decoders_alone"]}
    assert tokens == {ours["tokens"]}  # the same requests for all three


def test_the_shape_for_a_gpu_runs_small_on_a_cpu(run: Callable[..., dict[str, Any]]) -> None:
    document = run("--model", "qwen3-0.6b-shape", "--layers", "1", "--vocabulary", "2000", "--tokens", "4")
    assert document["ratio_of"] == "tokens per second of 2 requests, ours over generate"
    assert document["goal"] == 15.0
    tokens = {record["tokens"] for record in document["detail"]["decoders_alone"]}
    assert len(tokens) == 1
