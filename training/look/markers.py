"""The texts with which chat templates open and close messages, one pattern for each form of them.

A pattern's group says what begins at a match: ``system``, ``user``, ``assistant`` or ``tool``, ``role`` for a
message whose role the marker spells, or ``close`` for the end of a message.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Markers:
    """How one form of chat templates sets messages apart."""

    name: str
    sign: str
    """Stands in chat templates of this form, and in no other's."""
    pattern: re.Pattern[str]
    begins: str = ""
    """Who speaks before the first marker."""
    joined: bool = False
    """True if an answer may consist of several messages, whose markers the model writes itself."""


ROLES = {
    "model": "assistant",
    "gpt": "assistant",
    "chatbot": "assistant",
    "human": "user",
    "developer": "system",
    "ipython": "tool",
    "observation": "tool",
    "function": "tool",
}
"""Other names of roles."""


def _form(name: str, sign: str, *patterns: str, begins: str = "", joined: bool = False) -> Markers:
    return Markers(name, sign, re.compile("|".join(patterns)), begins, joined)


FORMS = (
    _form(
        "chatml",
        "<|im_start|>",
        r"(?P<tool><\|im_start\|>(?:user|tool)\n(?:<tool_response>|<\|tool_response_start\|>)\n?"
        r"|\n?</tool_response>\n<tool_response>\n?)",
        r"<\|im_start\|>(?P<role>\w+)\n?",
        r"(?P<close>\n?</tool_response>(?=\n?<\|im_end\|>)|<\|tool_response_end\|>(?=<\|im_end\|>)|<\|im_end\|>)",
    ),
    _form(
        "llama3",
        "<|start_header_id|>",
        r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\n\n",
        r"(?P<close><\|eot_id\|>|<\|eom_id\|>)",
    ),
    _form(
        "deepseek",
        "<｜Assistant｜>",
        r"(?P<user><｜User｜>)",
        r"(?P<tool>(?:<｜tool▁output▁end｜>)?\n?(?:<｜tool▁outputs▁begin｜>)?<｜tool▁output▁begin｜>)",
        r"(?P<assistant><｜Assistant｜>|(?:<｜tool▁output▁end｜>)?<｜tool▁outputs▁end｜>|<｜tool▁output▁end｜>)",
        r"(?P<close><｜end▁of▁sentence｜>)",
        begins="system",
    ),
    _form(
        "harmony",
        "<|channel|>",
        r"(?P<assistant><\|start\|>assistant)",
        r"(?P<tool><\|start\|>functions\.[^<]*(?:<\|channel\|>[^<]*)?<\|message\|>)",
        r"<\|start\|>(?P<role>\w+)<\|message\|>",
        r"(?P<close><\|(?:end|call|return)\|>)",
        joined=True,
    ),
    _form("gemma", "<start_of_turn>", r"<start_of_turn>(?P<role>\w+)\n", r"(?P<close><end_of_turn>)"),
    _form(
        "cohere",
        "<|START_OF_TURN_TOKEN|>",
        r"<\|START_OF_TURN_TOKEN\|><\|(?P<role>[A-Z]+)_TOKEN\|>",
        r"(?P<close><\|END_OF_TURN_TOKEN\|>)",
    ),
    _form(
        "mistral",
        "[/INST]",
        r"(?P<user>\[INST\] ?)",
        r"(?P<system>\[SYSTEM_PROMPT\] ?|\[AVAILABLE_TOOLS\] ?)",
        r"(?P<tool>(?:\[/TOOL_RESULTS\])?\[TOOL_RESULTS\] ?)",
        r"(?P<assistant>\[/INST\]|\[/TOOL_RESULTS\])",
        r"(?P<close>\[/SYSTEM_PROMPT\]|\[/AVAILABLE_TOOLS\]|</s>)",
    ),
    _form(
        "glm",
        "<|observation|>",
        r"(?P<assistant><\|assistant\|>)",  # the line break behind it is sampled
        r"<\|(?P<role>system|user|observation)\|>\n?",
    ),
    _form("phi", "<|end|>", r"<\|(?P<role>system|user|assistant|tool)\|>\n?", r"(?P<close><\|end\|>)"),
    _form("zephyr", "<|assistant|>", r"<\|(?P<role>system|user|assistant)\|>\n?", r"(?P<close></s>)"),
)
"""The first whose sign stands in a chat template is its form."""
