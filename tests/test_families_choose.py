"""A tokenizer's family is seen in its chat template, or named; what cannot be shown is refused with a reason."""

from copy import deepcopy
from typing import Any

import pytest
from family_tokenizers import CHATML, qwen_tokenizer, small_tokenizer, trl_template
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall
from threadmill.errors import BadModelFolder, BadModelSpec, CannotRender, NoToolTemplate
from threadmill.nodes.models.families.choose import family_named, family_of
from threadmill.nodes.models.render import Renderer

LOOK = {"type": "function", "function": {"name": "look", "parameters": {}}}
HERMES_2 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    '{{ \'For each call return {\\"arguments\\": <args>, \\"name\\": <name>} within <tool_call> tags\' }}'
)


def tokenizer(template: Any) -> Any:
    return small_tokenizer(template, CHATML, eos="<|im_end|>", bos="<|endoftext|>")


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("qwen2_5", "hermes"),
        ("qwen3_instruct_2507", "hermes"),
        ("qwen3_vl", "hermes"),
        ("qwen3", "qwen3"),
        ("qwen3_5_think", "qwen3.5"),
        ("qwen3_5_nothink", "qwen3.5"),
        ("qwen3_6", "qwen3.5"),
        ("qwen3_8", "qwen3.5"),
        ("nemotron_3_nano", "qwen3.5"),
        ("lfm2", "lfm2"),
        ("lfm2_v2", "lfm2"),
        ("lfm2_2_5", "lfm2"),
        ("llama3_1", "llama3"),
        ("llama3_2", "llama3"),
        ("deepseekv3", "deepseek-v3"),
        ("gptoss", "gpt-oss"),
        ("llama3", "plain"),
        ("qwen2_5_vl", "plain"),
        ("gemma3", "plain"),
        ("glm4moe", "plain"),
        ("phi3", "plain"),
    ],
)
def test_a_family_is_seen_in_the_template(template: str, family: str) -> None:
    assert family_of(tokenizer(trl_template(template))).name == family


def test_the_seed_policy_and_hermes_models_speak_hermes(tiny_tokenizer: Any) -> None:
    assert family_of(tiny_tokenizer).name == "hermes"
    assert family_of(tokenizer(HERMES_2)).name == "hermes"
    assert family_of(tokenizer({"default": trl_template("phi3"), "tool_use": HERMES_2})).name == "hermes"


def test_a_family_can_be_named() -> None:
    assert family_named("lfm2").name == "lfm2"
    with pytest.raises(BadModelSpec, match=r"there is no model family 'lama'; there are qwen3.5, lfm2, .*, plain"):
        family_named("lama")


def test_tools_for_a_template_without_a_place_for_them_are_refused() -> None:
    renderer = Renderer(tokenizer(trl_template("phi3")))
    asked: list[BaseMessage] = [HumanMessage("Hi.")]
    with pytest.raises(NoToolTemplate, match=r"has no place for tools .*there are 1: look; .*react-text"):
        renderer.prompt(asked, [LOOK])
    assert renderer.tokenizer.decode(renderer.prompt(asked, None).full_ids) == "<|user|>\nHi.<|end|>\n<|assistant|>\n"
    assert renderer.read("<think>Hm.</think>Hello.", "").reasoning == "Hm."


def test_no_chat_template_at_all_is_refused() -> None:
    with pytest.raises(BadModelFolder, match=r'has no chat template; .*family="react-text", which serves base models'):
        Renderer(tokenizer(None))


def test_messages_that_a_template_refuses_are_named_with_its_reason() -> None:
    renderer = Renderer(qwen_tokenizer("qwen3_5_think"))
    with pytest.raises(
        CannotRender, match=r"refuses these messages \(human, system\): System message must be at the beg"
    ):
        renderer.prompt([HumanMessage("Hi."), SystemMessage("Be brief.")], None)


def test_a_template_that_rewrites_the_prompt_as_soon_as_there_is_an_answer_is_not_trained(tiny_tokenizer: Any) -> None:
    changing = deepcopy(tiny_tokenizer)
    changing.chat_template = (
        "{{ messages | length }} {% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    with pytest.raises(CannotRender, match=r"changes the messages in front of an answer .* \(message 1\)"):
        Renderer(changing).training_rows([HumanMessage("Hi."), AIMessage("Hello.")])


def test_settings_of_the_template_reach_it_and_make_another_fingerprint() -> None:
    plain, silent = (
        Renderer(qwen_tokenizer("qwen3"), chat_template_kwargs=kwargs) for kwargs in (None, {"enable_thinking": False})
    )
    asked: list[BaseMessage] = [HumanMessage("Hi.")]
    assert plain.opening(asked, None) == "<|im_start|>assistant\n"
    assert silent.opening(asked, None) == "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert plain.fingerprint != silent.fingerprint


def test_a_named_family_is_used_whatever_the_template_says() -> None:
    renderer = Renderer(qwen_tokenizer("qwen2_5"), family_named("plain"))
    call = AIMessage("Hm.", tool_calls=[ToolCall(name="look", args={}, id="a")])
    assert renderer.read("<tool_call>{}</tool_call>", "").content == "<tool_call>{}</tool_call>"
    with pytest.raises(NoToolTemplate):
        renderer.prompt([HumanMessage("Go."), call], [LOOK])
