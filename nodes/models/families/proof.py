"""Try a tokenizer's own chat template on a conversation with everything in it, to see whether it can be kept."""

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

_TOOL = {
    "type": "function",
    "function": {
        "name": "first_tool",
        "description": "tells this",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}
_TALK: tuple[BaseMessage, ...] = (
    SystemMessage("the rules"),
    HumanMessage("question 1"),
    AIMessage(
        "beside calls",
        tool_calls=[
            ToolCall(name="first_tool", args={"word": 'ü "1"'}, id="call00001"),
            ToolCall(name="other_tool", args={"word": "2"}, id="call00002"),
        ],
    ),
    ToolMessage("result 1", tool_call_id="call00001", name="first_tool"),
    ToolMessage("result 2", tool_call_id="call00002", name="other_tool"),
    AIMessage("answer 1"),
    HumanMessage("question 2"),
    AIMessage("answer 2"),
)
_SHOWN = (
    *("the rules", "tells this", "question 1", "question 2", "beside calls", "first_tool", "other_tool"),
    *('ü \\"1\\"', '"2"', "result 1", "result 2", "answer 1", "answer 2"),
)


def tells_all(tokenizer: Any, write: Callable[[Sequence[BaseMessage]], list[dict[str, Any]]]) -> bool:
    """Whether the template shows tools, text beside two calls and their results, and never tells the past anew."""

    def text(messages: Sequence[BaseMessage], *, ask: bool) -> str:
        return tokenizer.apply_chat_template(write(messages), tools=[_TOOL], tokenize=False, add_generation_prompt=ask)

    try:
        whole = text(_TALK, ask=False)
        asked = [text(_TALK[:i], ask=True) for i, message in enumerate(_TALK) if isinstance(message, AIMessage)]
    except (TemplateError, TypeError, ValueError, AttributeError, KeyError):
        return False
    return all(whole.startswith(prompt) for prompt in asked) and all(word in whole for word in _SHOWN)
