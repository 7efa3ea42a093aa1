"""One call of a local model: from messages to a request, and from what was sampled to a message."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata

from ...errors import BadModelSpec, ContextOverflow, UnknownTool
from .decoding.request import Sampled
from .families.family import Family, Said, fresh_id, read_calls
from .host import Voice
from .render import Prompt
from .trace import TRACE_KEY, Trace, write_trace

NOTES_KEY = "notes"
"""Key in ``AIMessage.response_metadata``: what of a constraint could not be held."""


@dataclass(frozen=True)
class Settings:
    """What a caller may set for one call.

    Raises:
        BadModelSpec: no tokens at all, or a stop without a letter.
    """

    seed: int
    temperature: float
    max_new_tokens: int
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    constrained: bool = False
    tool_choice: str = "auto"
    response_schema: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise BadModelSpec(f"max_new_tokens={self.max_new_tokens}: an answer has at least one token")
        if "" in self.stop:
            raise BadModelSpec(f"stop={list(self.stop)}: an empty stop is found before the first token; leave it out")

    def recorded(self) -> dict[str, Any]:
        """What the trace keeps: what shaped the drawing, without what is at its default."""
        kept: dict[str, Any] = {
            "temperature": self.temperature,
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
        }
        if self.top_k:
            kept["top_k"] = self.top_k
        if self.top_p < 1:
            kept["top_p"] = self.top_p
        if self.min_p > 0:
            kept["min_p"] = self.min_p
        if self.stop:
            kept["stop"] = list(self.stop)
        if self.tool_choice != "auto":
            kept["tool_choice"] = self.tool_choice
        return kept


@dataclass(frozen=True)
class Call:
    """A call under way."""

    voice: Voice
    family: Family
    """As it reads the answers to a prompt with these tools."""
    prompt: Prompt
    settings: Settings
    budget: int
    constrained: bool
    notes: tuple[str, ...]
    future: "Future[Sampled]"

    def text(self, ids: Sequence[int]) -> str:
        """What ``ids`` say, up to the caller's stop."""
        text = self.voice.renderer.spoken(ids)
        return text[: min((at for stop in self.stops if (at := text.find(stop)) >= 0), default=len(text))]

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts at which the answer ends."""
        return self.settings.stop + self.family.stop

    def message(self, sampled: Sampled, new_id: Callable[[int], str] = fresh_id) -> AIMessage:
        """The finished answer with its trace."""
        said = self.family.read(self.prompt.opening, self.text(sampled.ids))
        calls, broken = read_calls(said, new_id)
        trace = Trace(
            version=self.voice.loaded.version,
            prompt_ids=self.prompt.delta_ids,
            sampled_ids=sampled.ids,
            logprobs=sampled.logprobs,
            human=self.prompt.human,
            restart=self.prompt.restart,
            constrained=self.constrained,
            finish=sampled.finish,
            digest=self.prompt.digest,
            settings={**self.settings.recorded(), "max_new_tokens": self.budget},
            before=len(self.prompt.full_ids) - len(self.prompt.delta_ids),
        )
        seen, made = len(self.prompt.full_ids), len(sampled.ids)
        metadata: dict[str, Any] = {"model_name": trace.version, TRACE_KEY: write_trace(trace)}
        if self.notes:
            metadata[NOTES_KEY] = list(self.notes)
        return AIMessage(
            content=said.content,
            additional_kwargs={"reasoning_content": said.reasoning} if said.reasoning else {},
            tool_calls=calls,
            invalid_tool_calls=broken,
            usage_metadata=UsageMetadata(
                input_tokens=seen,
                output_tokens=made,
                total_tokens=seen + made,
                input_token_details=InputTokenDetails(cache_read=sampled.reused),
            ),
            response_metadata=metadata,
        )


def start_call(
    voice: Voice,
    messages: Sequence[BaseMessage],
    tools: Sequence[dict[str, Any]] | None,
    settings: Settings,
    *,
    lane: str,
    on_token: Callable[[int], None] | None = None,
) -> Call:
    """Render the prompt and queue the request.

    Raises:
        ContextOverflow: the prompt leaves no room for an answer.
        QueueFull: too many wait already.
        CannotConstrain: a choice of tools or a schema that this family or grammar cannot promise.
    """
    renderer, family = voice.renderer, voice.renderer.family.knowing(tools)
    prompt = renderer.prompt(messages, tools)
    seen, context = len(prompt.full_ids), voice.loaded.context
    budget = min(settings.max_new_tokens, context - seen)
    if budget < 1:
        room = max(context - settings.max_new_tokens, context // 2)
        raise ContextOverflow(
            f"the prompt has {seen} tokens, {seen + 1 - context} more than {voice.loaded.version} can read and still "
            f"answer with a context of {context}; let observe trim what is read with Budget(tokens={room}), "
            "start a new thread, or use a model with a longer context"
        )
    constraint, notes = None, ()
    if settings.response_schema is not None:
        family = replace(family, read=_as_it_stands)
        constraint = voice.grammar.for_schema(settings.response_schema)
    elif tools and (settings.constrained or settings.tool_choice != "auto"):
        constraint = voice.grammar.for_tools(family, tools, settings.tool_choice, prompt.opening)
        if constraint is None:
            notes = (f"answers of the family {family.name!r} have no grammar; calls are checked by act only",)
    if constraint is not None:
        notes = constraint.notes
    stops = settings.stop + family.stop
    future = voice.decoder.submit(
        prompt.full_ids,
        max_new_tokens=budget,
        temperature=settings.temperature,
        seed=settings.seed,
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        constraint=constraint,
        stops=_finds(stops, voice.loaded.tokenizer) if stops else None,
        on_token=on_token,
        lane=lane,
    )
    return Call(voice, family, prompt, settings, budget, constraint is not None, notes, future)


def _as_it_stands(opening: str, text: str) -> Said:
    """An answer by schema is all content, whatever of it looks like thinking or a call."""
    return Said(text.strip())


def _finds(stops: Sequence[str], tokenizer: Any) -> Callable[[Sequence[int]], bool]:
    """Whether an answer holds one of ``stops``, looking only at its end: it is asked after every token."""
    reach = max(len(stop.encode()) for stop in stops) + 1  # every token but a special one has a byte at least

    def finds(ids: Sequence[int]) -> bool:
        text = tokenizer.decode(ids[-reach:], skip_special_tokens=True)
        return any(stop in text for stop in stops)

    return finds


def tool_named(choice: Any, tools: Sequence[dict[str, Any]]) -> str:
    """LangChain's and OpenAI's forms of a tool choice as ``auto``, ``required``, ``none`` or a tool's name.

    Raises:
        UnknownTool: a name that is not bound.
        BadModelSpec: a form that means nothing.
    """
    if choice is None or choice is False:
        return "auto"
    if choice is True or choice == "any":
        return "required"
    given = choice
    if isinstance(choice, dict):
        choice = choice.get("function", choice).get("name") or choice.get("type")
        choice = "required" if choice == "any" else choice
    if not isinstance(choice, str):
        raise BadModelSpec(f"the tool choice {given!r} is none of auto, required, none, or a tool's name")
    names = [tool["function"]["name"] for tool in tools]
    if choice not in ("auto", "required", "none", *names):
        raise UnknownTool(f"the tool choice {choice!r} is none of auto, required, none, {', '.join(names)}")
    return choice


def any_seed() -> int:
    """A seed for a call that names none."""
    return random.randrange(2**31)
