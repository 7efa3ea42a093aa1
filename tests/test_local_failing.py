"""What callers of a local model may do at the worst moment: give up, close, drop, copy."""

import asyncio
import copy
import gc
import logging
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import build_tiny
from langchain_core.messages import HumanMessage
from threadmill.errors import BadModelSpec, UnknownVersion
from threadmill.nodes.models.host import Host
from threadmill.nodes.models.local import LocalChatModel


@pytest.fixture
def endless(tiny_tokenizer: Any) -> Any:
    """A model whose answers are far too long to wait for."""
    chat = LocalChatModel.from_model(
        build_tiny(tiny_tokenizer, context=10**9), tiny_tokenizer, version="t@0001", max_new_tokens=10**8
    )
    chat.voice.decoder.end_ids = frozenset()
    yield chat
    chat.close()


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def slow_start(model: LocalChatModel) -> threading.Event:
    """Rendering the prompt waits for the event that this returns."""
    may_go = threading.Event()
    renderer: Any = model.voice.renderer
    prompt = renderer.prompt

    def slow(*inputs: Any) -> Any:
        assert may_go.wait(10)
        return prompt(*inputs)

    renderer.prompt = slow
    return may_go


def test_a_loop_that_ends_while_the_prompt_is_rendered_leaves_no_answer_behind(endless: LocalChatModel) -> None:
    may_go = slow_start(endless)

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.2, may_go.set)
        asyncio.ensure_future(endless.ainvoke("Count."))  # noqa: RUF006
        await asyncio.sleep(0.1)

    asyncio.run(main())  # cancels what is left
    time.sleep(0.3)
    wait_for(lambda: not endless.voice.decoder.busy)


def test_a_task_cancelled_while_the_prompt_is_rendered_leaves_no_answer_behind(endless: LocalChatModel) -> None:
    may_go = slow_start(endless)

    async def main() -> None:
        task = asyncio.ensure_future(endless.ainvoke("Count."))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_go.set()
        await asyncio.sleep(0.2)

    asyncio.run(main())
    wait_for(lambda: not endless.voice.decoder.busy)


def test_a_loop_closed_while_it_is_told_tokens_frees_the_row_without_noise(
    endless: LocalChatModel, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()
    stream = endless._atell([HumanMessage("Count.")], None, live=True)
    loop.run_until_complete(anext(stream))
    loop.close()
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        wait_for(lambda: not endless.voice.decoder.busy)
    assert caplog.messages == []


def test_a_stream_that_is_left_half_way_frees_its_row(endless: LocalChatModel) -> None:
    for _ in endless.stream("Count."):
        break
    gc.collect()
    wait_for(lambda: not endless.voice.decoder.busy)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens=0: an answer has at least one token"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"seed": -1}, "seed=-1"),
        ({"stop": [""]}, "an empty stop"),
    ],
)
def test_settings_that_mean_nothing_are_named(endless: LocalChatModel, setting: Any, complaint: str) -> None:
    with pytest.raises(BadModelSpec, match=complaint):
        endless.invoke("?", **setting)


def test_a_model_given_in_memory_is_never_let_go_for_what_its_folder_holds(
    tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any
) -> None:
    from transformers import AutoModelForCausalLM

    changed = AutoModelForCausalLM.from_pretrained(tiny_folder).eval()
    with torch.no_grad():
        for weight in changed.parameters():
            weight.mul_(1.5)  # trained since it was loaded
    model = LocalChatModel.from_model(changed, tiny_tokenizer, version="t@0001", max_new_tokens=8)
    said = model.invoke("Where?", seed=1).text
    for number in range(2, 6):
        model.take(f"t@{number:04d}", str(tiny_folder))
    assert model.invoke("Where?", seed=1).text != said
    assert model.at("t@0001").invoke("Where?", seed=1).text == said
    model.close()


def test_a_version_dropped_while_it_is_opened_again_is_not_kept(tiny_folder: Path) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=2)
    for number in range(1, 4):
        model.take(f"t@{number:04d}", str(tiny_folder))
    assert "t@0000" not in model.versions
    host: Host = model._host
    opens = host._open
    host._open = lambda version, source: (model.drop("t@0000"), opens(version, source))[1]
    assert host.voice("t@0000").loaded.version == "t@0000"
    assert "t@0000" not in model.versions
    with pytest.raises(UnknownVersion):
        model.at("t@0000")
    model.close()


def test_weights_die_when_their_version_is_dropped_or_let_go(tiny_folder: Path) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=2)
    weights = []
    for number in range(1, 6):
        model.invoke("?")
        weights.append(weakref.ref(model.voice.loaded.model))
        model.take(f"t@{number:04d}", str(tiny_folder))
    model.drop("t@0004")
    gc.collect()
    assert [seen() is not None for seen in weights] == [False, False, False, True, False]
    model.close()


def test_a_model_that_is_garbage_takes_its_weights_and_its_thread_along(tiny_folder: Path) -> None:
    model: Any = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=2)
    model.invoke("?")
    weights, thread = weakref.ref(model.voice.loaded.model), model._host.thread._thread
    del model
    gc.collect()
    assert weights() is None
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_copies_share_the_weights_and_pickling_says_why_not(tiny_folder: Path) -> None:
    model = LocalChatModel.from_folder(str(tiny_folder), version="t@0000", max_new_tokens=4)
    said = model.invoke("?", seed=1).text
    for twin in (copy.copy(model), copy.deepcopy(model), model.model_copy(deep=True)):
        assert twin.voice is model.voice
        assert twin.invoke("?", seed=1).text == said
    with pytest.raises(TypeError, match="cannot be pickled; open it by its folder"):
        pickle.dumps(model)
    model.close()
