"""Grammars for constrained decoding: made from tools or a schema, compiled once, shared by all answers.

xgrammar compiles and matches; what it compiles is ours (``schema_grammar``, ``families.speech``). Whatever of a
schema cannot be held is said in the notes.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any

from ...errors import CannotConstrain, MissingLibrary
from .closing import Closer
from .constraint import Constraint, Grammar
from .families.family import Family
from .families.speech import SPEECH
from .families.tags import Choice, Tag, ToolForm
from .schema_grammar import schema_grammar
from .schema_values import Impossible
from .vocabulary import Vocabulary, read_vocabulary

_KEPT = 64
"""Compiled grammars that a maker remembers."""


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

        return Constraint(self._once(self._grammars, key, make), self._xgrammar.GrammarMatcher)

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

        grammar = self._once(self._grammars, "schema" + json.dumps(schema, default=str), make)
        return Constraint(grammar, self._xgrammar.GrammarMatcher)

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


def _reach(vocabulary: Vocabulary, texts: Sequence[bytes]) -> int:
    """The most tokens that it takes to write the rest of one of ``texts``, and a few."""
    most = 0
    for text in sorted(set(texts), key=len, reverse=True):
        if len(text) <= most:
            break
        cuts = range(min(len(text), 32))  # a token may begin it in the middle of what would be one token
        most = max(most, *(len(vocabulary.spell(text[cut:])) for cut in cuts))
    return most + 8


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
