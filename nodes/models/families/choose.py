"""Which family a tokenizer belongs to, by the text of its chat template.

A family's module is imported when it is first needed.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from ....errors import BadModelSpec
from .family import Family


def _all(*signs: str) -> Callable[[str], bool]:
    return lambda template: all(sign in template for sign in signs)


def _never(template: str) -> bool:
    """For families that must be asked for by name."""
    return False


_FAMILIES: tuple[tuple[str, str, str, Callable[[str], bool]], ...] = (
    # name, module, constant, whether a template is its own; the first that says yes is taken
    ("qwen3.5", "qwen35", "QWEN35", _all("<function=", "<parameter=", "<tool_call>")),
    ("lfm2", "lfm2", "LFM2", _all("List of tools: ", "<|im_start|>")),
    ("qwen3", "hermes", "QWEN3", _all('<tool_call>\\n{"name": "', "reasoning_content")),
    ("hermes", "hermes", "HERMES", _all("<tool_call>", '"name"', '"arguments"')),
    ("llama3", "llama3", "LLAMA3", _all("<|start_header_id|>", "<|eot_id|>", "ipython")),
    ("mistral", "mistral", "MISTRAL", _all("[TOOL_CALLS]", "[ARGS]")),
    ("mistral-list", "mistral", "MISTRAL_LIST", _all("[TOOL_CALLS]")),
    ("deepseek-v3", "deepseekv3", "DEEPSEEK_V3", _all("<｜tool▁calls▁begin｜>", "```json")),
    ("deepseek-v3.1", "deepseekv3", "DEEPSEEK_V3_1", _all("<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>")),
    ("gpt-oss", "gptoss", "GPT_OSS", _all("<|start|>", "<|channel|>", "<|message|>")),
    ("react-text", "react_text", "REACT_TEXT", _all("{#- ReAct as plain text:")),
    ("plain", "plain", "PLAIN", _never),
)


def family_of(tokenizer: Any) -> Family:
    """The family whose form the tokenizer's chat template has; ``plain``, which takes no tools, if none is known."""
    template = template_text(tokenizer).replace('\\"', '"')
    family = family_named(next((name for name, _, _, fits in _FAMILIES if fits(template)), "plain"))
    return replace(family, template=family.adapt(tokenizer)) if family.adapt else family


def family_named(name: str) -> Family:
    """The family of this name.

    Raises:
        BadModelSpec: there is none.
    """
    for known, module, constant, _ in _FAMILIES:
        if known == name:
            return getattr(import_module(f".{module}", __package__), constant)
    names = ", ".join(known for known, *_ in _FAMILIES)
    raise BadModelSpec(f"there is no model family {name!r}; there are {names}")


def template_text(tokenizer: Any) -> str:
    """The chat template, or all of several joined; empty if there is none."""
    template = tokenizer.chat_template or ""
    return "\n".join(template.values()) if isinstance(template, dict) else template
