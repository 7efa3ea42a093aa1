"""What can be wrong with rows of messages or text, whose tokens and masks only the trainer will make."""

import re
from collections.abc import Iterator, Mapping, Sequence

from .chats import Said
from .excerpt import text_excerpt
from .finding import Finding

_RESULTS = re.compile(
    r"<tool_response>|<\|im_start\|>tool\b|\[TOOL_RESULTS\]|<\|start_header_id\|>(?:ipython|tool)<|<｜tool▁output▁begin｜>"
    r"|<\|observation\|>|(?:^|\n)Observation:[ \t]*\S"
)
"""How chat templates begin what a tool returned."""
_OTHERS = re.compile(
    r"<\|im_start\|>(?:user|system)\b|\[INST\]|<\|start_header_id\|>(?:user|system)<|<｜User｜>|<start_of_turn>user"
    r"|\n\nHuman:"
)
"""How they begin what the user or the system says."""
_SPECIAL = re.compile(r"<\|[a-zA-Z_]{2,30}\|>|<｜[^｜\s]{2,30}｜>|</s>|<s>|\[/?INST\]|<(?:start|end)_of_turn>")
"""What looks like a special token of somebody's tokenizer."""


def chat_findings(columns: Mapping[str, Sequence[Said]], special: Sequence[str]) -> Iterator[Finding]:
    """What is wrong with a row of these columns; ``special`` are the tokenizer's own tokens, if one is known."""
    if "chosen" in columns and "rejected" in columns:
        yield from _pair(columns["chosen"], columns["rejected"])
        targets = [columns["chosen"], columns["rejected"]]
    elif "completion" in columns:
        yield from _completion(columns["completion"])
        targets = [columns["completion"]]
    else:
        targets = [columns[name] for name in ("messages", "conversations", "text") if name in columns]
        for said in targets:
            yield from _conversation(said)
    for said in targets:
        yield from _targets(said)
    pattern = re.compile("|".join(map(re.escape, special))) if special else _SPECIAL
    for column, said in columns.items():
        if column == "text" or "text" in {one.role for one in said}:
            continue  # rendered already: it is made of them
        yield from _spelled(said, pattern)


def _targets(said: Sequence[Said]) -> Iterator[Finding]:
    """What a trainer would teach of these messages."""
    spoken = [one for one in said if one.role in ("assistant", "text")]
    column = said[0].column if said else "messages"
    if not spoken:
        what = f"no message of {column} is the model's: nothing is trained"
        yield Finding("nothing-trained", "error", what, "leave the row out")
    elif empty := [at for at, one in enumerate(said) if one in spoken and not one.text.strip() and not one.calls]:
        what = f"message {empty[0] + 1} of {column} is the model's and empty: it learns to say nothing"
        yield Finding("empty-target", "error", what, "leave out the message, or put in what it said")


def _conversation(said: Sequence[Said]) -> Iterator[Finding]:
    for at, one in enumerate(said, 1):
        if one.trained and one.role != "assistant":
            yield _misplaced(one.role, f"message {at} ({one.role}) is marked as trained", one)
    roles = [one.role for one in said]
    if "assistant" in roles and roles[-1] != "assistant":
        what = (
            f"the conversation ends with a {roles[-1]} message: what follows the last answer is read and never trained"
        )
        yield Finding("ends-without-answer", "warning", what, "cut it behind the last answer")
    for at, one in enumerate(said, 1):
        if one.role == "assistant" and (found := _RESULTS.search(one.text)):
            what = f"message {at} is the model's and holds what looks like tool output: it learns to invent it"
            fix = "put tool output in messages of its own, with role tool"
            yield Finding("loss-on-tool", "error", what, fix, text_excerpt(one.text, found.start(), found.end()))


def _completion(said: Sequence[Said]) -> Iterator[Finding]:
    """A completion is trained as a whole, whoever speaks in it."""
    for at, one in enumerate(said, 1):
        if one.role in ("tool", "user", "system"):
            yield _misplaced(
                one.role, f"message {at} of the completion is a {one.role}'s, and completions are trained", one
            )
            return
        for pattern, role in ((_RESULTS, "tool"), (_OTHERS, "user")):
            if found := pattern.search(one.text):
                what = f"the completion holds what looks like words of a {role}, and completions are trained"
                yield _misplaced(role, what, one, found.start(), found.end())
                return


def _misplaced(role: str, what: str, said: Said, low: int = 0, high: int = 12) -> Finding:
    code = "loss-on-tool" if role == "tool" else "loss-on-context"
    fix = "end the completion with the model's answer, and make a row of what follows; or use rows of labelled tokens"
    return Finding(code, "error", what, fix, text_excerpt(said.text, low, min(high, len(said.text))))


def _pair(chosen: Sequence[Said], rejected: Sequence[Said]) -> Iterator[Finding]:
    if [(one.role, one.text, one.calls) for one in chosen] == [(one.role, one.text, one.calls) for one in rejected]:
        what = "chosen and rejected are the same: nothing is preferred"
        yield Finding("same-continuations", "error", what, "leave the pair out")
        return
    for at, (one, other) in enumerate(zip(chosen, rejected, strict=False), 1):
        if (one.role, one.text, one.calls) == (other.role, other.text, other.calls):
            continue
        if one.role == "text" and (parted := _parted_dialogue(one.text, other.text)):
            low, high = parted
            yield _unequal("their texts part in front of the last answer", text_excerpt(one.text, low, high))
        elif one.role not in ("assistant", "text") or other.role != one.role:
            what = f"they part at message {at}, which is a {one.role}'s in chosen and a {other.role}'s in rejected"
            yield _unequal(what, text_excerpt(one.text, 0, min(12, len(one.text))))
        return


def _unequal(what: str, excerpt: str) -> Finding:
    what = f"chosen and rejected answer different prompts: {what}"
    return Finding("prefix-differs", "error", what, "compare two answers to exactly the same messages", excerpt)


def _parted_dialogue(one: str, other: str) -> tuple[int, int] | None:
    """Where two dialogues written as one text part, if that is before the last answer of either."""
    answers = [text.rfind("\n\nAssistant:") for text in (one, other)]
    if min(answers) < 0 or one[: answers[0]] == other[: answers[1]]:
        return None
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return at, at + 1


def _spelled(said: Sequence[Said], pattern: re.Pattern[str]) -> Iterator[Finding]:
    for at, one in enumerate(said, 1):
        if found := pattern.search(one.text):
            what = f"message {at} of {one.column} ({one.role}) spells {found[0]}; a tokenizer makes it that token"
            fix = "take it out, or encode texts apart from the template's own tokens"
            yield Finding("special-in-text", "warning", what, fix, text_excerpt(one.text, found.start(), found.end()))
            return
