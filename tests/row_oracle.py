"""What SFT rows must hold, worked out from what the models were overheard to see and sample, and from no trace."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, BaseMessage
from overheard_model import Book, Heard, OverheardModel
from overheard_threads import V1, Life

Row = Mapping[str, Any]
Run = tuple[int, int]
"""First token, and the one behind the last."""


def runs(marks: Iterable[bool]) -> Iterator[Run]:
    """Where ``marks`` are true.

    >>> list(runs([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    for is_true, places in groupby(enumerate(marks), key=lambda mark: mark[1]):
        if is_true:
            first, *rest = [place for place, _ in places]
            yield first, first + len(rest) + 1


def sampled_runs(row: Row) -> list[Run]:
    """The spans with logprobs."""
    return list(runs(logprob is not None for logprob in row["logprobs"]))


def human_runs(row: Row) -> list[Run]:
    """The spans that are trained and have no logprobs."""
    zipped = zip(row["labels"], row["logprobs"], strict=True)
    return list(runs(label != -100 and logprob is None for label, logprob in zipped))


Spoken = tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]
"""What a call saw and sampled, and the logprobs."""


def spoken(call: Heard) -> Spoken:
    return call.prompt, call.sampled, call.logprobs


def spoken_at(row: Row, run: Run) -> Spoken:
    """What the row tells of one span."""
    low, high = run
    return tuple(row["input_ids"][:low]), tuple(row["input_ids"][low:high]), tuple(row["logprobs"][low:high])


def is_whole(row: Row, book: Book) -> bool:
    """Is the row all that a call saw, and what it sampled unless somebody replaced that, and nothing else?"""
    ids = tuple(row["input_ids"])
    return any(ids in (call.prompt, call.prompt + call.sampled) for call in book.calls)


def says(message: BaseMessage | None) -> Any:
    """What a message of the model says."""
    assert isinstance(message, AIMessage)
    broken = [call["args"] for call in message.invalid_tool_calls]
    return message.text, broken, [(call["name"], call["args"]) for call in message.tool_calls]


def is_replaced(message: BaseMessage, book: Book) -> bool:
    """Has a human put something in the place of what the model said?"""
    return says(message) != says(book.heard(message.id).message)


def forgotten(messages: Sequence[BaseMessage], book: Book) -> set[str | None]:
    """The model's messages whose call followed on the tokens of another that is no longer among ``messages``."""
    found: set[str | None] = set()
    there = {message.id for message in messages}
    for message in messages:
        if not isinstance(message, AIMessage):
            continue
        call = book.heard(message.id)
        before = [shown for shown in call.shown if isinstance(shown, AIMessage)][-1:]
        for shown in before:
            last = book.heard(shown.id)
            tokens = last.prompt + (() if is_replaced(shown, book) else last.sampled)
            if call.prompt[: len(tokens)] == tokens and (shown.id not in there or shown.id in found):
                found.add(message.id)
    return found


def refused(messages: Sequence[BaseMessage]) -> set[str | None]:
    """The model's messages of which a person refused a call."""
    found: set[str | None] = set()
    speaker: str | None = None
    for message in messages:
        speaker = message.id if isinstance(message, AIMessage) else speaker
        if message.type == "tool" and message.text.startswith("a person refused this call"):
            found.add(speaker)
    return found


@dataclass(frozen=True)
class Expected:
    """What must be trained once, and what may be."""

    must: Counter[Spoken]
    may: Counter[Spoken]
    """Of turns that follow on something that was taken out of the thread: nobody knows their tokens any more."""


def eligible(branches: Sequence[Sequence[BaseMessage]], book: Book) -> Expected:
    """What stands in a branch as the model said it, and no person refused."""
    must, may = set[str | None](), set[str | None]()
    for messages in branches:
        lost, avoided = forgotten(messages, book), refused(messages)
        for message in messages:
            if isinstance(message, AIMessage) and message.id not in avoided and not is_replaced(message, book):
                (may if message.id in lost else must).add(message.id)
    return Expected(*(Counter(spoken(book.heard(name)) for name in names) for names in (must, may - must)))


def written(branches: Sequence[Sequence[BaseMessage]], book: Book, end: int) -> Expected:
    """What humans wrote in the model's place, as a later call saw it, behind the prompt of the proposal."""
    must, may = set[tuple[str | None, Spoken]](), set[tuple[str | None, Spoken]]()
    for messages in branches:
        lost, avoided = forgotten(messages, book), refused(messages)
        for one, other in pairwise([message for message in messages if isinstance(message, AIMessage)]):
            proposed, seen = book.heard(one.id), book.heard(other.id).prompt
            low = len(proposed.prompt)
            if (
                one.id in avoided
                or not is_replaced(one, book)
                or seen[:low] != proposed.prompt
                or end not in seen[low:]
            ):
                continue
            if seen[low : low + len(proposed.sampled)] != proposed.sampled:
                high = seen.index(end, low) + 1
                (may if other.id in lost else must).add((one.id, (seen[:low], seen[low:high], ())))
    return Expected(*(Counter(words for _, words in found) for found in (must, may - must)))


def fits(found: Iterable[Spoken], expected: Expected) -> bool:
    """Is all that must be there, nothing else but what may be, and nothing twice?"""
    counted = Counter(found)
    return counted >= expected.must and counted <= expected.must + expected.may


def scores_of(model: OverheardModel, rows: Sequence[Row]) -> torch.Tensor:
    """Logits (rows, longest, vocabulary) of the model for ``rows``, padded behind their ends."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows]
    with torch.no_grad():
        return model.voice.loaded.model(input_ids=torch.tensor(ids)).logits.float()


def labels_of(rows: Sequence[Row]) -> torch.Tensor:
    """Labels (rows, longest), padded with -100."""
    longest = max(len(row["labels"]) for row in rows)
    return torch.tensor([row["labels"] + [-100] * (longest - len(row["labels"])) for row in rows])


def check(life: Life, rows: list[dict[str, Any]]) -> None:
    """The four invariants."""
    branches = list(life.branches())
    calls = {spoken(call): call for call in life.book.calls if call.message}
    # 1: what is exported is what models saw and sampled
    for row in rows:
        assert is_whole(row, life.book)
        assert all(spoken_at(row, run) in calls for run in sampled_runs(row))
        assert all(label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))
    # 4: every token that was sampled, and not replaced, is trained once
    trained = [spoken_at(row, run) for row in rows for run in sampled_runs(row) if row["labels"][run[0]] != -100]
    assert fits(trained, eligible(branches, life.book))
    humans = [(*spoken_at(row, run)[:2], ()) for row in rows for run in human_runs(row)]
    assert fits(humans, written(branches, life.book, life.tokenizer.eos_token_id))
    # 2: scored again, rows have their logprobs
    scores = {version: scores_of(model, rows) for version, model in life.models.items()} if rows else {}
    for place, row in enumerate(rows):
        for low, high in sampled_runs(row):
            call = calls[spoken_at(row, (low, high))]
            logits = scores[call.version][place, low - 1 : high - 1] / call.temperature
            again = logits.log_softmax(-1).gather(1, torch.tensor(row["input_ids"][low:high])[:, None])[:, 0]
            assert again.tolist() == pytest.approx(row["logprobs"][low:high], abs=1e-4)
    # 3: what is masked has no gradient
    if rows:
        logits = scores[V1].clone().requires_grad_()
        labels = labels_of(rows)
        life.models[V1].voice.loaded.model.loss_function(logits, labels, logits.shape[-1]).backward()
        assert logits.grad is not None
        moved = logits.grad.abs().sum(-1) > 0
        assert moved[:, :-1].tolist() == (labels[:, 1:] != -100).tolist()
        assert not moved[:, -1].any()
