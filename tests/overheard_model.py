"""A local model that says what a test lets it say, with real tokens and logprobs, and a book of all it saw and sampled.

The book is kept at the decoder, so it knows nothing of traces. What is dictated is sampled from the model's own
scores with all other tokens masked, as a grammar would do it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import PrivateAttr
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.host import Serving
from threadmill.nodes.models.loaded import hold
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.render import Renderer

TEMPLATE = """\
{%- set ns = namespace(asked=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.asked = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{{ '<|im_start|>' + m.role + '\\n' }}
{%- if m.role == 'assistant' -%}
{%- if m.reasoning_content and loop.index0 > ns.asked -%}
{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}
{%- endif -%}
{%- generation -%}
{{ m.content or '' }}
{%- for call in m.tool_calls or [] -%}
{{ '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>' }}
{%- endgeneration -%}
{%- else -%}
{{ m.content + '<|im_end|>' }}
{%- endif -%}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
"""Shows what was thought since the user's last words, and forgets it then, as Qwen3's does."""


@dataclass(frozen=True)
class Says:
    """What the model is to say next."""

    text: str | None
    """None: whatever it likes, up to six tokens."""
    letters: bool = False
    """Token by token for every letter, as no tokenizer would write it."""
    ends: bool = True
    """False: its budget is used up in front of the end."""


@dataclass(eq=False)
class Heard:
    """One call of the model: what it saw and sampled, and the message made of it."""

    version: str
    prompt: tuple[int, ...]
    temperature: float
    future: Any
    shown: tuple[BaseMessage, ...]
    message: AIMessage | None = None

    @property
    def sampled(self) -> tuple[int, ...]:
        return self.future.result().ids

    @property
    def logprobs(self) -> tuple[float, ...]:
        return self.future.result().logprobs


@dataclass
class Book:
    """What models are to say, and every call that they answered."""

    script: deque[Says] = field(default_factory=deque)
    calls: list[Heard] = field(default_factory=list)
    last_seen: int | None = None
    """Only so many of the last messages are shown to the model; None is all."""
    down: bool = False

    def heard(self, message: str | None) -> Heard:
        """The call that made this message."""
        (found,) = [call for call in self.calls if call.message is not None and call.message.id == message]
        return found


class ModelDown(Exception):
    """The model cannot be reached."""


class Dictation:
    """A constraint that leaves one token each time."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = deque(ids)

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        kept = scores[self.ids[0]].clone()
        scores.fill_(float("-inf"))
        scores[self.ids[0]] = kept

    def accept(self, token: int) -> None:
        assert token == self.ids.popleft()


class OverheardModel(LocalChatModel):
    """Says what ``book.script`` tells it, else "Done."; calls come one after the other."""

    _book: Book = PrivateAttr()
    _shown: tuple[BaseMessage, ...] = PrivateAttr(())

    @classmethod
    def over(cls, weights: Any, tokenizer: Any, version: str) -> "OverheardModel":
        serving = Serving(family=family_named("qwen3"))
        model = cls._on(hold(version, weights, tokenizer), serving, {"max_new_tokens": 200})
        assert isinstance(model, OverheardModel)
        decoder = model.voice.decoder
        decoder.submit = model._dictated(decoder.submit)
        return model

    def begin_book(self, book: Book) -> None:
        """Forget what the renderer knew, as a new process would, and write into ``book`` from now on."""
        self._book = book
        self.voice.renderer = Renderer(self.voice.loaded.tokenizer, self.voice.renderer.family)

    def invoke(self, *given: Any, **how: Any) -> AIMessage:
        """As LangChain's, one call after the other."""
        before = len(self._book.calls)
        message = super().invoke(*given, **how)
        (call,) = self._book.calls[before:]
        call.message = message.model_copy()
        return message

    def _start(self, messages: Any, stop: Any, options: Any, on_token: Any) -> Any:
        if self._book.down:
            raise ModelDown
        last = self._book.last_seen
        self._shown = tuple(messages if last is None else messages[-last:])
        return super()._start(list(self._shown), stop, options, on_token)

    def _dictated(self, submit: Callable[..., Any]) -> Callable[..., Any]:
        def dictated(prompt: tuple[int, ...], **how: Any) -> Any:
            says = self._book.script.popleft() if self._book.script else Says("Done.")
            ids = spell(self.voice.loaded.tokenizer, says)
            how |= {"max_new_tokens": max(1, len(ids)) if says.text is not None else 6}
            future = submit(prompt, **(how | {"constraint": Dictation(ids)} if ids else how))
            self._book.calls.append(Heard(self.version, tuple(prompt), how["temperature"], future, self._shown))
            return future

        return dictated


def spell(tokenizer: Any, says: Says) -> list[int]:
    """The tokens of what is to be said."""
    if says.text is None:
        return []
    pieces = list(says.text) if says.letters else [says.text]
    ids = [token for piece in pieces for token in tokenizer.encode(piece, add_special_tokens=False)]
    return [*ids, tokenizer.eos_token_id] if says.ends else ids


def with_template(tokenizer: Any) -> Any:
    """``tokenizer`` with the template above."""
    other = copy(tokenizer)
    other.chat_template = TEMPLATE
    return other
