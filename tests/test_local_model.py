"""The local model: its messages continue the exact tokens of the thread, and bad folders are named."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from threadmill.errors import BadModelFolder, ContextOverflow
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.render import Renderer, recorded_ids
from threadmill.nodes.models.trace import EDIT_KEY, Trace, read_trace, write_trace


@tool
def look(order: str) -> str:
    """Look at an order."""
    return order


def traced(messages: list[BaseMessage]) -> list[tuple[BaseMessage, Trace]]:
    return [(message, trace) for message in messages if (trace := read_trace(message))]


def spoken_as(renderer: Renderer, messages: list[BaseMessage], text: str, **extra: Any) -> AIMessage:
    """What a model would have recorded that said ``text`` next; ``text`` is spelt byte by byte."""
    prompt = renderer.prompt(messages, None)
    ids = [renderer.tokenizer.convert_tokens_to_ids(c) for c in text.replace(" ", "Ġ")]
    ids.append(renderer.tokenizer.eos_token_id)
    trace = Trace(
        "v1", prompt.delta_ids, tuple(ids), (-1.0,) * len(ids), prompt.human, prompt.restart, digest=prompt.digest
    )
    return AIMessage(text, response_metadata={"trace": write_trace(trace), **extra})


def test_every_turn_continues_the_exact_tokens_of_the_thread(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model = LocalChatModel.from_model(tiny_model, tiny_tokenizer, version="t@0001", max_new_tokens=6)
    seen: list[tuple[int, ...]] = []
    submit = model.voice.decoder.submit
    model.voice.decoder.submit = lambda prompt, **options: seen.append(tuple(prompt)) or submit(prompt, **options)
    bound = model.bind_tools([look])
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("Where is O123?")]
    for turn in range(4):
        answer = bound.invoke(messages, seed=turn)
        trace = read_trace(answer)
        assert trace is not None
        assert not trace.restart
        assert seen[-1] == recorded_ids([*traced(messages)]) + trace.prompt_ids
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["input_tokens"] == len(seen[-1])
        messages += [answer, ToolMessage(f"O{turn}", tool_call_id="x", name="look"), HumanMessage("And now?")]
    assert [len(trace.prompt_ids) for _, trace in traced(messages)][1:] == [
        len(trace.prompt_ids) for _, trace in traced(messages)
    ][1:2] * 3
    model.close()


def test_a_human_edit_takes_the_place_of_what_was_sampled(tiny_tokenizer: Any) -> None:
    renderer = Renderer(tiny_tokenizer)
    messages: list[BaseMessage] = [HumanMessage("Refund it.")]
    proposal = spoken_as(renderer, messages, "no")
    edited = proposal.model_copy(
        update={"content": "yes", "response_metadata": {**proposal.response_metadata, EDIT_KEY: {"by": "eva"}}}
    )
    prompt = renderer.prompt([*messages, edited, HumanMessage("Thanks.")], None)
    ((low, high),) = prompt.human
    assert (low, tiny_tokenizer.decode(prompt.delta_ids[low:high])) == (0, "yes<|im_end|>")
    first = read_trace(edited)
    assert first is not None
    assert prompt.full_ids == first.prompt_ids + prompt.delta_ids
    assert tiny_tokenizer.decode(prompt.full_ids) == (
        "<|im_start|>user\nRefund it.<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
        "<|im_start|>user\nThanks.<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("change", ["edit the past", "drop the past", "other tools"])
def test_a_changed_past_is_a_restart(tiny_tokenizer: Any, change: str) -> None:
    renderer = Renderer(tiny_tokenizer)
    messages: list[BaseMessage] = [HumanMessage("One.")]
    messages += [spoken_as(renderer, messages, "a"), HumanMessage("Two.")]
    assert not renderer.prompt(messages, None).restart
    tools = None
    if change == "edit the past":
        messages[0] = HumanMessage("Another.")
    elif change == "drop the past":
        messages = messages[1:]
    else:
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}]
    prompt = renderer.prompt(messages, tools)
    assert prompt.restart
    assert prompt.delta_ids == prompt.full_ids


def test_an_answer_that_was_cut_off_is_closed_by_the_next_prompt(tiny_tokenizer: Any) -> None:
    renderer = Renderer(tiny_tokenizer)
    ask: list[BaseMessage] = [HumanMessage("One.")]
    whole = spoken_as(renderer, ask, "abc")
    trace = read_trace(whole)
    assert trace is not None
    cut = Trace("v1", trace.prompt_ids, trace.sampled_ids[:2], trace.logprobs[:2], finish="length", digest=trace.digest)
    message = AIMessage("ab", response_metadata={"trace": write_trace(cut)})
    prompt = renderer.prompt([*ask, message, HumanMessage("Two.")], None)
    assert prompt.delta_ids[0] == tiny_tokenizer.eos_token_id
    assert "assistant\nab<|im_end|>\n<|im_start|>user\nTwo." in tiny_tokenizer.decode(prompt.full_ids)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(
        st.tuples(st.text("ab c", min_size=1, max_size=6), st.sampled_from(("said", "edited")), st.text(max_size=5)),
        max_size=5,
    )
)
def test_recorded_spans_joined_are_what_the_model_saw(tiny_tokenizer: Any, turns: list[tuple[str, str, str]]) -> None:
    renderer = Renderer(tiny_tokenizer)
    messages: list[BaseMessage] = [HumanMessage("Go.")]
    for text, kind, reply in turns:
        before = recorded_ids(traced(messages))
        prompt = renderer.prompt(messages, None)
        assert prompt.full_ids == before + prompt.delta_ids
        assert not prompt.restart
        message = spoken_as(renderer, messages, text)
        if kind == "edited":
            metadata = {**message.response_metadata, EDIT_KEY: {"by": "eva"}}
            message = message.model_copy(update={"content": text + "!", "response_metadata": metadata})
        messages += [message, HumanMessage(reply)]


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model = LocalChatModel.from_model(tiny_model, tiny_tokenizer, version="t@0001")
    with pytest.raises(
        ContextOverflow, match=r"has 417 tokens, 162 more than t@0001 can read .* observe .* Budget\(tokens=128\)"
    ):
        model.invoke("x" * 400)


def test_folders_that_lack_something_are_named(
    tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def open_folder(folder: Path | str) -> None:
        LocalChatModel.from_folder(str(folder), version="t@0001")

    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModelFolder, match=r"lacks weights .* and a config .* and a tokenizer"):
        open_folder(tmp_path / "empty")
    tiny_model.save_pretrained(tmp_path / "weights")
    with pytest.raises(BadModelFolder, match=r"lacks a tokenizer"):
        open_folder(tmp_path / "weights")
    tiny_tokenizer.save_pretrained(str(tmp_path / "weights"))
    (tmp_path / "weights" / "chat_template.jinja").unlink()
    with pytest.raises(BadModelFolder, match="has no chat template"):
        open_folder(tmp_path / "weights")
    with pytest.raises(BadModelFolder, match="cannot open the model 'nobody/nothing'"):
        open_folder("nobody/nothing")


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_an_adapter_folder_is_merged_into_its_base(tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    get_peft_model(base, LoraConfig(r=2, target_modules="all-linear")).save_pretrained(str(tmp_path))
    tiny_tokenizer.save_pretrained(tmp_path)
    model = LocalChatModel.from_folder(str(tmp_path), version="t@0001", max_new_tokens=2)
    assert read_trace(model.invoke("Hello")) is not None
    model.close()


def test_the_seed_policy_encodes_any_text_and_reads_ids_as_one_token() -> None:
    from threadmill.training.slots import SEED_POLICY
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SEED_POLICY)
    for text in ("Ünïcode 😀 \t<tool_call> 12345 O1234", '{"order_id": "O123"}', "O123, O123. (O123)"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text
    assert ids.count(tokenizer.convert_tokens_to_ids("O123")) == 3
    assert (SEED_POLICY / "model.safetensors").stat().st_size < 8_000_000
