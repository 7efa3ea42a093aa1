"""What can be wrong with one sequence of tokens: its labels, its logprobs, and on whose words the loss falls."""

from collections.abc import Iterator, Sequence
from math import isfinite

from ...nodes.models.families.choose import template_text
from .excerpt import token_excerpt
from .finding import Finding, Severity
from .roles import RoleReader, Speech
from .sequences import Tokens, runs


class TokenCheck:
    """Checks sequences with a tokenizer, or what can be checked without one."""

    def __init__(self, reader: RoleReader | None) -> None:
        self.reader = reader
        self.texts = reader.texts if reader else None
        tokenizer = reader.tokenizer if reader else None
        self.bos = tokenizer.bos_token_id if tokenizer is not None else None
        self.wants_bos = bool(reader) and _begins_with_bos(reader)
        self.pad = tokenizer.pad_token_id if tokenizer is not None else None
        self.foreign = _foreign(reader) if reader else frozenset()

    def findings(self, tokens: Tokens) -> Iterator[Finding]:
        """All that is wrong with ``tokens``."""
        name = f"{tokens.name}: " if tokens.name else ""
        if self.texts is not None and (unknown := [t for t in tokens.ids if not self.texts.has(t)]):
            at = tokens.ids.index(unknown[0])
            what = f"{name}the ids of the tokenizer end at {self.texts.size - 1}, and the row has {unknown[0]}"
            yield self._at(
                "unknown-token", "error", what, "check with the tokenizer it was made with", tokens, at, at + 1
            )
            return
        yield from self._labels(tokens, name)
        yield from self._logprobs(tokens, name)
        yield from self._padding(tokens, name)
        if self.reader is None:
            return
        if self.bos is not None and tokens.ids:
            yield from self._begin(tokens, name)
        speeches = self.reader.read(tokens.ids)
        openings = {
            tokens.ids[speech.low] for speech in speeches if speech.low < speech.body
        } & self.reader.texts.special
        for speech in speeches:
            yield from self._loss(tokens, speech, name)
            yield from self._end(tokens, speech, name)
            yield from self._inside(tokens, speech, name, openings)

    def _labels(self, tokens: Tokens, name: str) -> Iterator[Finding]:
        if not any(tokens.trained):
            what = f"{name}none of its {len(tokens.ids)} tokens is trained"
            fix = "leave the row out; if it holds an answer, its mask was lost: see {% generation %} in the template"
            yield Finding("nothing-trained", "error", what, fix)
        elif all(tokens.trained) and len(tokens.ids) > 1:
            what = f"{name}all of its {len(tokens.ids)} tokens are trained, so whatever the model was told is, too"
            yield Finding("everything-trained", "warning", what, "mask with -100 what the model did not say")
        if not tokens.labels:
            return
        wrong = [at for at, on in enumerate(tokens.trained) if on and tokens.labels[at] != tokens.ids[at]]
        if not wrong:
            return
        at = wrong[0]
        shifted = [i for i in range(len(tokens.ids) - 1) if tokens.labels[i] >= 0]
        if shifted and all(tokens.labels[i] == tokens.ids[i + 1] for i in shifted):
            what = f"{name}each label is the next token: they are shifted already, and trainers shift them once more"
            fix = "write label i for token i"
        else:
            what = f"{name}the label of token {at} is {tokens.labels[at]}, the token is {tokens.ids[at]}"
            fix = "a label is its token or -100; make ids and labels from the same encoding"
        yield self._at("labels-differ", "error", what, fix, tokens, at, at + 1)

    def _logprobs(self, tokens: Tokens, name: str) -> Iterator[Finding]:
        wrong = [at for at, p in enumerate(tokens.logprobs) if p is not None and not (isfinite(p) and p <= 0)]
        if wrong:
            at = wrong[0]
            what = f"{name}the logprob of token {at} is {tokens.logprobs[at]}; a logprob is finite and at most 0"
            yield self._at("bad-logprob", "error", what, "record natural logs of probabilities", tokens, at, at + 1)

    def _padding(self, tokens: Tokens, name: str) -> Iterator[Finding]:
        if self.pad is None or tokens.ids[-2:] != (self.pad, self.pad) or not tokens.trained[-1]:
            return
        low = next(at for at in range(len(tokens.ids), 0, -1) if tokens.ids[at - 1] != self.pad)
        what = f"{name}the last {len(tokens.ids) - low} tokens are padding, and they are trained"
        fix = "leave the padding to the collator, or label it -100"
        yield self._at("padding-trained", "error", what, fix, tokens, low, len(tokens.ids))

    def _begin(self, tokens: Tokens, name: str) -> Iterator[Finding]:
        if tokens.ids[:2] == (self.bos, self.bos):
            fix = "tokenize rendered text with add_special_tokens=False"
            yield self._at("two-bos", "warning", f"{name}it begins with two bos tokens", fix, tokens, 0, 2)
        elif self.wants_bos and tokens.ids[0] != self.bos:
            what = f"{name}the chat template begins with a bos token, the row does not"
            yield self._at("no-bos", "warning", what, "render rows with the chat template", tokens, 0, 1)

    def _loss(self, tokens: Tokens, speech: Speech, name: str) -> Iterator[Finding]:
        body = self._trained(tokens, speech.body, speech.end)
        scored = [at for at in range(speech.low, speech.high) if tokens.logprobs and tokens.logprobs[at] is not None]
        if speech.role == "tool" and body:
            what = f"{name}the loss falls on what a tool returned: the model learns to invent it"
            yield self._at("loss-on-tool", "error", what, "label tool output -100", tokens, *body)
        elif speech.role in ("system", "user") and body:
            what = f"{name}the loss falls on the {speech.role}'s words"
            yield self._at("loss-on-context", "error", what, f"label what the {speech.role} says -100", tokens, *body)
        elif speech.role in ("tool", "system", "user") and scored:
            what = f"{name}there is a logprob on what the {speech.role} said, which no model has sampled"
            fix = "the columns are out of step with the tokens; make them from the same record"
            yield self._at("logprob-on-context", "error", what, fix, tokens, scored[0], scored[-1] + 1)
        after = speech.end + (speech.role == "assistant")
        glue = self._trained(tokens, speech.low, speech.body) or self._trained(tokens, after, speech.high)
        if glue:
            what = f"{name}the loss falls on what the chat template writes around messages"
            fix = "train only what the model samples: its words and its end-of-turn token"
            yield self._at("loss-on-template", "warning", what, fix, tokens, *glue)

    def _end(self, tokens: Tokens, speech: Speech, name: str) -> Iterator[Finding]:
        assert self.reader is not None
        if speech.role != "assistant" or not self._trained(tokens, speech.body, speech.end):
            return
        if speech.end < speech.high:
            if tokens.trained[speech.end]:
                return
            spoken = [tokens.logprobs[at] for at in range(speech.body, speech.end)] if tokens.logprobs else []
            if any(p is not None for p in spoken) and tokens.logprobs[speech.end] is None:
                what = f"{name}the model did not end this turn itself (no logprob on its end): nothing teaches it to"
                fix = "give the model a larger budget of tokens, or leave such rows out"
                yield self._at("turn-not-ended", "warning", what, fix, tokens, speech.end, speech.end + 1)
            else:
                what = f"{name}the turn is trained and its end-of-turn token is not: the model will not learn to stop"
                yield self._at(
                    "untrained-end", "error", what, "train the end token, too", tokens, speech.end, speech.end + 1
                )
        elif speech.high == len(tokens.ids) and self._closes():
            what = f"{name}the row ends within a trained turn: it was cut off, or the end-of-turn token is missing"
            fix = "append the end-of-turn token, or leave out rows that are cut off"
            yield self._at("turn-cut", "warning", what, fix, tokens, speech.high - 1, speech.high)

    def _inside(
        self, tokens: Tokens, speech: Speech, name: str, openings: frozenset[int] | set[int]
    ) -> Iterator[Finding]:
        fix = "keep texts that spell special tokens from becoming them: encode them apart from the template's own"
        if speech.cut:
            at = speech.high
            what = f"{name}another message begins within this one ({speech.role})"
            yield self._at("special-in-text", "warning", what, fix, tokens, at, at + 1)
        assert self.reader is not None
        assert self.reader.markers is not None
        if self.reader.markers.joined and speech.role == "assistant":
            return
        low = speech.body + (speech.low == 0 and tokens.ids[speech.body : speech.body + 1] == (self.bos,))
        for at in range(low, speech.end if speech.role else low):  # what no message holds may be special
            if tokens.ids[at] in openings or tokens.ids[at] in self.foreign:
                what = f"{name}a special token stands within the {speech.role}'s words"
                yield self._at("special-in-text", "warning", what, fix, tokens, at, at + 1)
                return

    def _closes(self) -> bool:
        markers = self.reader.markers if self.reader else None
        return markers is not None and "(?P<close>" in markers.pattern.pattern

    def _trained(self, tokens: Tokens, low: int, high: int) -> tuple[int, int] | None:
        """The first run of trained tokens between ``low`` and ``high``."""
        found = runs(tokens.trained[low:high])
        return (low + found[0][0], low + found[0][1]) if found else None

    def _at(self, code: str, severity: Severity, what: str, fix: str, tokens: Tokens, low: int, high: int) -> Finding:
        excerpt = token_excerpt(tokens.ids, tokens.trained, low, high, self.texts)
        return Finding(code, severity, what, fix, excerpt)


def _foreign(reader: RoleReader) -> frozenset[int]:
    """Special tokens that no message holds: those that neither the chat template nor the family's answers write."""
    told = template_text(reader.tokenizer)
    if reader.template is not None:
        told += "".join((reader.template.family.template or "", *reader.template.family.markers))
    ends = (reader.tokenizer.bos_token_id, reader.tokenizer.eos_token_id, reader.tokenizer.pad_token_id)
    unsaid = {token for token in reader.texts.special if reader.texts.added[token] not in told}
    return frozenset(unsaid | {token for token in ends if token is not None})


def _begins_with_bos(reader: RoleReader | None) -> bool:
    if reader is None or reader.template is None or not reader.tokenizer.bos_token:
        return False
    from langchain_core.messages import HumanMessage

    from ...errors import ThreadmillError

    try:
        return reader.template.text([HumanMessage("hello")], None, ask=False).startswith(reader.tokenizer.bos_token)
    except ThreadmillError:
        return False


def first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """Where two sequences part; the length of the shorter one if that begins the other.

    >>> first_difference([1, 2, 3], [1, 2, 4])
    2
    """
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
