"""Constrained decoding: what a grammar forbids is never sampled, and an answer ends before its tokens run out.

xgrammar matches and masks; the grammars are ours (``schema_grammar``, ``families.tags``). Whatever of a schema
cannot be held is said in the notes. Logprobs that are recorded are those before the mask.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ...errors import CannotConstrain, MissingLibrary
from .closing import Closer
from .families.family import Family
from .families.speech import SPEECH
from .families.tags import Choice, Tag, ToolForm
from .schema_grammar import schema_grammar
from .schema_values import Impossible
from .vocabulary import Vocabulary, read_vocabulary

_KEPT = 64
"""Compiled grammars that a maker remembers."""
_LOOKED_AT = 32
"""Tokens, the likeliest, that may still be sampled where room gets short."""
_SEARCHES = 4
"""Of these, how many may need a new way to the end."""


@dataclass(frozen=True)
class Grammar:
    """A compiled grammar, and what every answer under it shares."""

    compiled: Any
    bytewise: Any
    """The same for a vocabulary of the 256 bytes."""
    vocabulary: Vocabulary
    hints: tuple[bytes, ...]
    """Texts that lead to an end."""
    least: bytes | None
    """A shortest answer; None if none was found."""
    shortest: int
    """Its tokens, with the one that ends the turn."""
    reach: int
    """By how many tokens one token can put off the end: it may open what must be whole once it is opened."""
    notes: tuple[str, ...]


class GrammarMaker:
    """Makes the constraints of one model's answers. All methods may be called from any thread."""

    def __init__(self, tokenizer: Any, vocab_size: int, end_ids: frozenset[int]) -> None:
        """``vocab_size`` is how many scores the model gives, which may be more than there are tokens.

        Raises:
            MissingLibrary: xgrammar is not installed.
        """
        self._xgrammar = _xgrammar()
        self._tokenizer = tokenizer
        self._size = vocab_size
        self._end_ids = end_ids
        self._grammars: OrderedDict[str, Future[Any]] = OrderedDict()
        self._compilers: OrderedDict[str, Future[Any]] = OrderedDict()
        """By the markers that are text; there are as many as families."""
        self._lock = threading.Lock()

    def for_tools(
        self, family: Family, tools: Sequence[Mapping[str, Any]], choice: str, opening: str = ""
    ) -> "Constraint | None":
        """The constraint of an answer with ``tools`` (OpenAI's form) to a prompt that ends in ``opening``.

        ``choice`` is ``auto`` (text, but what opens a call completes it), ``required`` or ``any`` (one call or
        more, no text), ``none`` (no call) or a tool's name (one call of that tool). None if ``choice`` is ``auto``
        or ``none`` and it is not known how the family speaks.

        Raises:
            CannotConstrain: calls are asked for, and it is not known how the family writes them.
        """
        speech = SPEECH.get(family.name)
        if speech is None:
            if choice in ("auto", "none"):
                return None
            raise CannotConstrain(
                f"answers of the family {family.name!r} have no grammar, so tool_choice {choice!r} cannot be kept; "
                f"use tool_choice 'auto', or a model of one of the families {', '.join(SPEECH)}"
            )
        kinds: dict[str, Choice] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
        kind = kinds.get(choice, "one")
        chosen = [tool["function"] for tool in tools if kind != "one" or tool["function"]["name"] == choice]
        thinks = speech.thinks(opening)
        key = json.dumps([family.name, chosen, kind, thinks], default=str)

        def make() -> Grammar:
            notes: list[str] = []
            forms = [_held(function, notes) for function in chosen]
            return self._compile(speech.tag(forms, kind, thinks=thinks), family.markers, tuple(notes))

        return Constraint(self._once(self._grammars, key, make))

    def for_schema(self, schema: Mapping[str, Any]) -> "Constraint":
        """The constraint of an answer that is JSON and fits ``schema``.

        Raises:
            CannotConstrain: nothing fits the schema, or it cannot be read.
        """

        def make() -> Grammar:
            try:
                made = schema_grammar(schema)
            except Impossible as reason:
                raise CannotConstrain(f"no answer can be promised to fit the schema: {reason}") from reason
            tag = Tag({"type": "grammar", "grammar": made.ebnf}, (made.least, *made.hints), made.begun)
            return self._compile(tag, (), tuple(f"{note} cannot be constrained" for note in made.notes))

        return Constraint(self._once(self._grammars, "schema" + json.dumps(schema, default=str), make))

    def _once(self, made: "OrderedDict[str, Future[Any]]", key: str, make: Callable[[], Any]) -> Any:
        """What ``make`` makes, or made when ``key`` was last asked for; others who ask meanwhile wait for it."""
        with self._lock:
            future = made.get(key)
            if mine := future is None:
                future = made[key] = Future()
                while len(made) > _KEPT:
                    made.popitem(last=False)
            made.move_to_end(key)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    made.pop(key, None)
                future.set_exception(error)
        return future.result()

    def _compile(self, tag: Tag, markers: Sequence[str], notes: tuple[str, ...]) -> Grammar:
        compiler, vocabulary = self._once(self._compilers, str(markers), lambda: self._compiler(markers))
        structural = {"type": "structural_tag", "format": tag.format}
        bytewise = _byte_compiler().compile_structural_tag(structural)
        hints = tuple(hint.encode() for hint in dict.fromkeys(tag.hints) if hint)
        least = Closer(self._xgrammar.GrammarMatcher(bytewise), hints).end()
        return Grammar(
            compiler.compile_structural_tag(structural),
            bytewise,
            vocabulary,
            hints,
            least,
            1 + len(vocabulary.spell(least or b"")),
            _reach(vocabulary, [*hints, *(text.encode() for text in tag.begun)]),
            notes,
        )

    def _compiler(self, markers: Sequence[str]) -> tuple[Any, Vocabulary]:
        """A compiler for a vocabulary in which ``markers`` are text, and what the vocabulary writes."""
        info = self._xgrammar.TokenizerInfo
        kept = sorted(self._end_ids) or None
        decoded = info.from_huggingface(self._tokenizer, stop_token_ids=kept).decoded_vocab
        vocabulary = read_vocabulary(self._tokenizer, self._size, self._end_ids, decoded, markers)
        raw = info(vocabulary.texts, self._xgrammar.VocabType.RAW, vocab_size=self._size, stop_token_ids=kept)
        return self._xgrammar.GrammarCompiler(raw, max_threads=2, cache_enabled=False), vocabulary


class Constraint:
    """What one answer must keep to. Used by one thread at a time."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.notes = grammar.notes
        self._matcher = _xgrammar().GrammarMatcher(grammar.compiled)
        self._bits = torch.full((1, -(-len(grammar.vocabulary.texts) // 32)), -1, dtype=torch.int32)
        self._closer: Closer | None = None
        self._unfed: list[int] = []
        """Tokens that the closer has not seen."""
        self._look_at: int | None = None
        """How many tokens are left when the end must be looked at again."""

    @property
    def shortest(self) -> int:
        """Tokens of a shortest answer, with the one that ends the turn."""
        return self.grammar.shortest

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        """Set what may not come next to -inf, in place; ``left`` tokens may still be sampled, this one among them.

        Raises:
            CannotConstrain: not even the shortest answer has room.
        """
        self._matcher.fill_next_token_bitmask(self._bits)
        apply(scores, self._bits[0])
        if self._look_at is None:
            self._check_room(left)
            self._look_at = left
        if left <= self._look_at:
            self._keep_room_(scores, left)

    def accept(self, token: int) -> None:
        """Go on behind ``token``, which was sampled under the mask."""
        if not self._matcher.accept_token(token):
            raise RuntimeError(f"token {token} does not follow the grammar")
        self._unfed.append(token)

    def _check_room(self, left: int) -> None:
        if self.shortest > left:
            raise CannotConstrain(
                f"the shortest answer that fits takes {self.shortest} tokens, and {left} are left; raise "
                "max_new_tokens, or shorten the prompt"
            )

    def _keep_room_(self, scores: torch.Tensor, left: int) -> None:
        """Leave only tokens behind which a way to the end is known that fits into what is left."""
        grammar = self.grammar
        if self._closer is None:
            self._closer = Closer(_xgrammar().GrammarMatcher(grammar.bytewise), grammar.hints)
        texts = grammar.vocabulary.texts
        self._closer.feed(b"".join(texts[token] for token in self._unfed))
        self._unfed.clear()
        end = self._closer.end()
        if end is None:
            self._look_at = left - 1  # no way was found from here; perhaps from the next place
            return
        way = grammar.vocabulary.spell(end)
        spare = left - len(way) - 1
        if spare > grammar.reach:
            self._look_at = left - max(1, (spare - grammar.reach) // 8)
            return
        self._look_at = left
        kept = self._with_room(scores, left) if spare > 0 else []
        kept += way[:1] or (token for token in grammar.vocabulary.end_ids if scores[token] > float("-inf"))
        allowed = torch.tensor(kept, device=scores.device)
        values = scores[allowed]
        scores.fill_(float("-inf"))
        scores[allowed] = values

    def _with_room(self, scores: torch.Tensor, left: int) -> list[int]:
        """Of the likeliest tokens those behind which the end still fits."""
        assert self._closer is not None
        vocabulary = self.grammar.vocabulary
        likeliest = scores.topk(min(_LOOKED_AT, len(scores)))
        kept: list[int] = []
        searches = 0
        for token, score in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True):
            if score == float("-inf"):
                break
            if token in vocabulary.end_ids:
                kept.append(token)
                continue
            end, searched = self._closer.end_after(vocabulary.texts[token], search=searches < _SEARCHES)
            searches += searched
            if end is not None and len(vocabulary.spell(end)) + 2 <= left:
                kept.append(token)
        return kept


def _reach(vocabulary: Vocabulary, texts: Sequence[bytes]) -> int:
    """The most tokens that it takes to write the rest of one of ``texts``, and a few."""
    most = 0
    for text in sorted(set(texts), key=len, reverse=True):
        if len(text) <= most:
            break
        cuts = range(min(len(text), 32))  # a token may begin it in the middle of what would be one token
        most = max(most, *(len(vocabulary.spell(text[cut:])) for cut in cuts))
    return most + 8


def apply(scores: torch.Tensor, bits: torch.Tensor) -> None:
    """Set the scores whose bit is not set to -inf, in place. Rows of both belong together; both may be one row."""
    if scores.device.type == "cpu" and scores.dtype == torch.float32:
        _xgrammar().apply_token_bitmask_inplace(scores, bits, vocab_size=scores.shape[-1])
        return
    bits = bits.to(scores.device, non_blocking=True)
    places = torch.arange(32, dtype=torch.int32, device=scores.device)
    forbidden = ((bits.unsqueeze(-1) >> places) & 1).flatten(-2)[..., : scores.shape[-1]] == 0
    scores.masked_fill_(forbidden, float("-inf"))


def _held(function: Mapping[str, Any], notes: list[str]) -> ToolForm:
    """The tool with a schema that can be held, or with any object as its arguments; ``notes`` say what is lost."""
    name = function["name"]
    parameters = function.get("parameters")
    schema = {"type": "object", "properties": {}} if parameters is None else {"type": "object", **parameters}
    try:
        made = schema_grammar(schema)
    except Impossible as reason:
        notes.append(f"{name}: its arguments can be any object ({reason}); they are checked by act only")
        return ToolForm(name, {"type": "object"})
    notes += (f"{name}.{note} cannot be constrained; arguments are checked by act only" for note in made.notes)
    return ToolForm(name, schema)


def _xgrammar() -> Any:
    try:
        import xgrammar
    except ImportError as error:
        raise MissingLibrary("constrained decoding needs xgrammar; pip install 'threadmill[grammar]'") from error
    return xgrammar


@cache
def _byte_compiler() -> Any:
    """A compiler for a vocabulary of the 256 bytes and an end."""
    xgrammar = _xgrammar()
    texts = [*(bytes([byte]) for byte in range(256)), b""]
    info = xgrammar.TokenizerInfo(texts, xgrammar.VocabType.RAW, vocab_size=257, stop_token_ids=[256])
    return xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
