"""Text ReAct for any chat model: Thought, Action, Action Input, Observation in place of the provider's own tool calls.

The tools stand in the system prompt, the model's text is read as calls, and results go back to it as text. The thread
looks as with any other model: an ``AIMessage`` with ``tool_calls``; act and tool work alike. Base models in this
process have the family ``react-text`` instead, whose tokens are exact.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, BaseMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .call import tool_named
from .families.family import Family, fresh_id, read_calls
from .react_reading import ACTING, SPEAKING, STOP, certain, up_to_observation
from .server.answer import TOKENS_KEY
from .streaming import SpokenChunk, Teller
from .telling import TellingChatModel
from .trace import EDIT_KEY, TRACE_KEY

TEXT_KEY = "react_text"
"""Key in ``AIMessage.response_metadata``: the model's own text, up to where it was stopped."""

NEITHER = "neither an Action with an Action Input nor a Final Answer was given; begin the lines with these words"


class ReactChatModel(TellingChatModel):
    """``inner``, asked in text for tool calls. Models that refuse stop texts get none with ``stops=False``.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> inner = FakeListChatModel(responses=['Thought: Look.\\nAction: look\\nAction Input: {"id": 1}'])
    >>> look = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    >>> ReactChatModel(inner=inner).bind_tools([look]).invoke("Where is it?").tool_calls[0]["args"]
    {'id': 1}
    """

    inner: BaseChatModel
    stops: bool = True

    @property
    def _llm_type(self) -> str:
        return f"threadmill-react-{self.inner._llm_type}"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with ``tools`` in its system prompt, and the tool choice in words."""
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=formatted, tool_choice=tool_named(tool_choice, formatted), **kwargs)

    def _tell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> Generator[SpokenChunk]:
        asked, stops, passed = self._asked(messages, stop, settings)
        family = ACTING if _may_act(settings) else SPEAKING
        if not live:
            whole: Any = self.inner._generate(asked, stops, None, **passed).generations[0].message
            yield from _last(Teller(family), family, whole)
            return
        teller, parts, text = Teller(family), [], ""
        for part in self._parts(asked, stops, passed):
            parts.append(part)
            text += part.text
            yield from teller.tell(certain(text))
        yield from _last(teller, family, _sum(parts))

    async def _atell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> AsyncGenerator[SpokenChunk]:
        asked, stops, passed = self._asked(messages, stop, settings)
        family = ACTING if _may_act(settings) else SPEAKING
        if not live:
            whole: Any = (await self.inner._agenerate(asked, stops, None, **passed)).generations[0].message
            for chunk in _last(Teller(family), family, whole):
                yield chunk
            return
        teller, parts, text = Teller(family), [], ""
        async for part in self._aparts(asked, stops, passed):
            parts.append(part)
            text += part.text
            for chunk in teller.tell(certain(text)):
                yield chunk
        for chunk in _last(teller, family, _sum(parts)):
            yield chunk

    def _asked(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, settings: Mapping[str, Any]
    ) -> tuple[list[BaseMessage], list[str] | None, dict[str, Any]]:
        passed = {name: value for name, value in settings.items() if name not in ("tools", "tool_choice")}
        if "seed" not in type(self.inner).model_fields:
            passed.pop("seed", None)
        stops = [*(stop or ()), *((STOP,) if self.stops else ())]
        told = as_react(messages, settings.get("tools") or (), settings.get("tool_choice") or "auto")
        return told, stops or None, passed

    def _parts(self, asked: list[BaseMessage], stops: list[str] | None, passed: Mapping[str, Any]) -> Iterator[Any]:
        """The inner model's chunks, or its one message if it cannot stream; nobody else hears them."""
        if type(self.inner)._stream is BaseChatModel._stream:
            yield self.inner._generate(asked, stops, None, **passed).generations[0].message
        else:
            yield from (part.message for part in self.inner._stream(asked, stops, None, **passed))

    async def _aparts(
        self, asked: list[BaseMessage], stops: list[str] | None, passed: Mapping[str, Any]
    ) -> AsyncIterator[Any]:
        kind = type(self.inner)
        if kind._stream is BaseChatModel._stream and kind._astream is BaseChatModel._astream:
            yield (await self.inner._agenerate(asked, stops, None, **passed)).generations[0].message
            return
        async for part in self.inner._astream(asked, stops, None, **passed):
            yield part.message


def as_react(
    messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]], choice: str = "auto"
) -> list[BaseMessage]:
    """A thread as the inner model sees it: what it said itself in its own words, results as observations."""
    own = messages[0].text if messages and isinstance(messages[0], SystemMessage) else ""
    system = "\n\n".join(filter(None, (own, _form(tools, choice))))
    told: list[BaseMessage] = [SystemMessage(system)] if system else []
    for message in messages[1:] if own else messages:
        if isinstance(message, AIMessage):
            told.append(AIMessage(_spoken(message)))
            continue
        if isinstance(message, SystemMessage):
            told.append(message)
        elif not isinstance(message, ToolMessage):
            told.append(HumanMessage(message.content))
        elif told and isinstance(told[-1], HumanMessage):
            told[-1] = HumanMessage(_joined(told[-1].content, _observed(message)))
        else:
            told.append(HumanMessage(_observed(message)))
    return told


def _observed(result: ToolMessage) -> Any:
    """The content of a message that tells ``result``, images and files as they are."""
    text, content = f"Observation: {result.text}", result.content
    others = [] if isinstance(content, str) else [one for one in content if _type_of(one) != "text"]
    return [{"type": "text", "text": text}, *others] if others else text


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}\n{other}"
    return [*_blocks(one), *_blocks(other)]


def _blocks(content: Any) -> Sequence[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _type_of(block: Any) -> str:
    return "text" if isinstance(block, str) else str(block.get("type"))


def _sum(parts: Sequence[Any]) -> AIMessage:
    if not parts or not isinstance(parts[0], BaseMessageChunk):
        return parts[0] if parts else AIMessage("")
    whole: Any = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return AIMessage(
        whole.text, usage_metadata=whole.usage_metadata, response_metadata=whole.response_metadata, id=whole.id
    )


def _may_act(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("tools")) and settings.get("tool_choice") != "none"


def _last(teller: Teller, family: Family, whole: AIMessage) -> list[SpokenChunk]:
    """What is not told yet of the inner model's answer, and the message."""
    acts = family is ACTING
    text = up_to_observation(whole.text) if acts else whole.text.partition(STOP)[0]
    said = family.read("", text + STOP if acts else text)  # nothing follows: what lacks will lack
    calls, broken = read_calls(said, teller.id_of)
    if acts and not (calls or broken or said.content):
        call_id = fresh_id()
        broken = [{"type": "invalid_tool_call", "name": None, "args": "", "id": call_id, "error": NEITHER}]
    metadata = {key: value for key, value in whole.response_metadata.items() if key != TRACE_KEY}
    message = AIMessage(
        said.content,
        additional_kwargs={"reasoning_content": said.reasoning} if said.reasoning else {},
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=whole.usage_metadata,
        response_metadata={**metadata, TOKENS_KEY: "none", TEXT_KEY: text},
    )
    return teller.finish(text, message)


def _spoken(message: AIMessage) -> str:
    """What the model said, or would have said if another one or a person did."""
    kept = message.response_metadata.get(TEXT_KEY)
    if kept is not None and EDIT_KEY not in message.response_metadata:
        return kept
    thought = message.additional_kwargs.get("reasoning_content") or (message.text if message.tool_calls else "")
    lines = [f"Thought: {thought}"] if thought else []
    for call in message.tool_calls:
        lines += [f"Action: {call['name']}", f"Action Input: {json.dumps(call['args'], ensure_ascii=False)}"]
    if not message.tool_calls:
        lines.append(f"Final Answer: {message.text}")
    return "\n".join(lines)


def _form(tools: Sequence[Mapping[str, Any]], choice: str) -> str:
    """How to answer, in the words of the family ``react-text``."""
    if not tools:
        return ""
    functions = [tool["function"] for tool in tools]
    listed = "\n".join(
        f"{one['name']}: {one.get('description') or ''} Arguments: {json.dumps(one.get('parameters') or {})}"
        for one in functions
    )
    now = {
        "auto": "",
        "none": "\n\nNow write words only: no Action, and not in this form.",
        "required": "\n\nNow an Action is needed.",
    }.get(choice, f"\n\nNow the Action {choice} is needed.")
    return (
        f"These are the tools:\n\n{listed}\n\nUse this form:\n\n"
        "Thought: what you think about what to do\nAction: the name of a tool\n"
        "Action Input: its arguments as a JSON object\n\n"
        "You are told the result as an Observation, and go on. When you know the answer:\n\n"
        f"Thought: what you know now\nFinal Answer: the answer to the question{now}"
    )
