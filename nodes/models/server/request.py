"""What is sent to a model server: messages, tools and settings in OpenAI's form with vLLM's additions.

Every setting that shapes sampling is sent, because vLLM otherwise takes those of the model's generation
config (``top_k=20`` and the like), and the trace would not know.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, convert_to_openai_messages

from ....errors import UnknownTool

REASONING_FIELD = "reasoning_field"
"""Key in ``response_metadata``: the field in which the server sent the reasoning, and wants to get it back."""
TOKEN_FIELDS: Mapping[str, Any] = {
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}
"""vLLM's own fields: ask for ids, and sample from the whole distribution."""
_CHOICES: Mapping[Any, str] = {
    "any": "required",
    True: "required",
    "required": "required",
    "auto": "auto",
    "none": "none",
}
_GRAMMARS = ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "response_format")


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings of one call."""

    temperature: float
    top_p: float
    max_new_tokens: int | None
    seed: int | None
    stop: tuple[str, ...]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any] | None
    """In OpenAI's form; None leaves it to the server."""
    response_format: Mapping[str, Any] | None
    extra: Mapping[str, Any]
    """Fields that the caller adds or changes, such as ``chat_template_kwargs``."""

    @property
    def constrained(self) -> bool:
        """Whether the server samples under a grammar, as far as it can be known from here."""
        forced = self.tool_choice == "required" or isinstance(self.tool_choice, Mapping)
        return forced or self.response_format is not None or any(key in self.extra for key in _GRAMMARS)

    def settings(self, logprobs_mode: Literal["raw", "processed"]) -> dict[str, Any]:
        """What the trace says about sampling, and which logprobs were recorded (see ``logprobs_are``)."""
        settings: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
            "logprobs": logprobs_are(self, logprobs_mode),
        }
        return settings | ({"extra": dict(self.extra)} if self.extra else {})


def logprobs_are(asked: Asked, mode: Literal["raw", "processed"]) -> str:
    """Of which distribution the server's logprobs are.

    ``sampling``: of the one that a trace asks for: full vocabulary, at the sampling temperature, no mask.
    ``raw``: of the same at temperature 1, although another temperature was used. ``processed``: after
    top-p and the like. ``masked``: after a grammar, which vLLM applies before it looks at the logprobs.
    """
    if asked.constrained:
        return "masked"
    if mode == "raw":
        return "sampling" if asked.temperature in (0, 1) else "raw"
    return "sampling" if asked.top_p == 1 and not any(key in asked.extra for key in TOKEN_FIELDS) else "processed"


def chat_request(
    messages: Sequence[BaseMessage], asked: Asked, *, tokens: bool, reasoning_field: str
) -> dict[str, Any]:
    """The fields of a chat completion, the model apart. ``tokens`` asks for ids and logprobs."""
    request: dict[str, Any] = {
        "messages": [as_openai(message, reasoning_field) for message in messages],
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "extra_body": {**(TOKEN_FIELDS if tokens else {}), **asked.extra},
    }
    optional = {
        "logprobs": tokens,
        "max_tokens": asked.max_new_tokens,
        "seed": asked.seed,
        "stop": list(asked.stop),
        "tools": [dict(tool) for tool in asked.tools],
        "tool_choice": asked.tool_choice,
        "response_format": asked.response_format,
    }
    # A seed of 0 is a seed; the rest counts if it says anything.
    return request | {key: value for key, value in optional.items() if value or (key == "seed" and value is not None)}


def ids_request(
    prompt_ids: Sequence[int],
    asked: Asked,
    *,
    tokens: bool,
    budget: int,
    stops: Sequence[str],
    end_ids: Sequence[int],
) -> dict[str, Any]:
    """The fields of a plain completion of ``prompt_ids``, the model apart."""
    request: dict[str, Any] = {
        "prompt": list(prompt_ids),
        "max_tokens": budget,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "logprobs": 1,  # 0 would do for vLLM, but means none to others
        "extra_body": {
            **(TOKEN_FIELDS if tokens else {}),
            "add_special_tokens": False,
            "skip_special_tokens": False,
            "stop_token_ids": list(end_ids),
            **asked.extra,
        },
    }
    if asked.response_format is not None:
        request["extra_body"]["response_format"] = asked.response_format
    return request | ({"stop": list(stops)} if stops else {}) | ({} if asked.seed is None else {"seed": asked.seed})


def as_openai(message: BaseMessage, reasoning_field: str) -> dict[str, Any]:
    """One message in OpenAI's form. Reasoning goes back in the field in which it came."""
    sent: dict[str, Any] = convert_to_openai_messages(_spoken(message))
    if isinstance(message, AIMessage):
        sent.setdefault("content", "")
        if reasoning := message.additional_kwargs.get("reasoning_content"):
            sent[message.response_metadata.get(REASONING_FIELD, reasoning_field)] = reasoning
    return sent


def _spoken(message: BaseMessage) -> BaseMessage:
    """The message with its malformed calls among the others, so that their results have something to answer.

    Servers read arguments as JSON and refuse what is none; so the text stands in a field of its own.
    """
    if not isinstance(message, AIMessage) or not message.invalid_tool_calls:
        return message
    broken = [
        ToolCall(name=call["name"] or "unknown", args=_malformed(call["args"]), id=call["id"])
        for call in message.invalid_tool_calls
    ]
    return AIMessage(
        content=message.content,
        tool_calls=[*message.tool_calls, *broken],
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
    )


def _malformed(text: str | None) -> dict[str, Any]:
    try:
        args = json.loads(text or "")
    except ValueError:
        return {"malformed": text or ""}
    return args if isinstance(args, dict) else {"malformed": text or ""}


def choice_of(tool_choice: Any, tools: Sequence[Mapping[str, Any]]) -> str | Mapping[str, Any] | None:
    """LangChain's ``tool_choice`` in OpenAI's form.

    >>> choice_of("look", [{"type": "function", "function": {"name": "look"}}])
    {'type': 'function', 'function': {'name': 'look'}}

    Raises:
        UnknownTool: it names a tool that is not bound.
    """
    if tool_choice is None or tool_choice is False or not tools:
        return None
    if isinstance(tool_choice, Mapping):
        return tool_choice
    if tool_choice in _CHOICES:
        return _CHOICES[tool_choice]
    names = [tool["function"]["name"] for tool in tools]
    if tool_choice not in names:
        raise UnknownTool(f"tool_choice {tool_choice!r} is no bound tool; there is {', '.join(names)}")
    return {"type": "function", "function": {"name": tool_choice}}
