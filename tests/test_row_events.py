"""What becomes of each kind of event in the rows, on real threads, line by line.

``+`` is trained, ``.`` is not; ``s`` is what the model sampled, ``h`` what a human wrote in its place.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from overheard_model import OverheardModel, Says
from random_threads import LOOK, PAY_3, PAY_8, PAY_9, THINK, Life, export, open_models
from row_oracle import check


@pytest.fixture(scope="module")
def models(tiny_tokenizer: Any) -> Iterator[dict[str, OverheardModel]]:
    yield from open_models(tiny_tokenizer)


@pytest.fixture
def life(models: Any, tmp_path: Path) -> Iterator[Life]:
    life = Life(f"sqlite:///{tmp_path / 'runs.db'}", models)
    yield life
    life.close()


def shown(life: Life, folder: Path) -> list[list[str]]:
    """The rows, which keep the invariants: a line for each run of tokens that are marked alike."""
    rows = export(life, folder / "rows")
    check(life, rows)
    return [lines_of(life, row) for row in rows]


def lines_of(life: Life, row: dict[str, Any]) -> list[str]:
    marks = [
        (" " if logprob is not None else "h" if label != -100 else " ", "." if label == -100 else "+")
        for label, logprob in zip(row["labels"], row["logprobs"], strict=True)
    ]
    marks = [
        ("s" if logprob is not None else human, trained)
        for (human, trained), logprob in zip(marks, row["logprobs"], strict=True)
    ]
    lines = []
    for (origin, trained), run in groupby(range(len(marks)), key=lambda place: marks[place]):
        text = life.tokenizer.decode([row["input_ids"][place] for place in run])
        lines.append(f"{trained}{origin} {text.strip(chr(10))}".replace("\n", "↵"))
    return lines


def test_an_answer_whose_beginning_was_taken_out_of_the_thread(life: Life, tmp_path: Path) -> None:
    life.say(0, "one", [Says("First.")])
    life.say(0, "two", [Says("Second.")])
    life.forget(0, 1)
    life.say(0, "three", [Says("Third.")])
    assert shown(life, tmp_path) == [
        [
            ".  <|im_start|>user↵two<|im_end|>↵<|im_start|>assistant↵Second.<|im_end|>↵"
            "<|im_start|>user↵three<|im_end|>↵<|im_start|>assistant",
            "+s Third.<|im_end|>",
        ]
    ]


def test_a_model_that_is_shown_the_last_message_only(life: Life, tmp_path: Path) -> None:
    life.say(0, "one", [Says("First.")])
    life.show(1)
    life.say(0, "two", [Says("Second.")])
    assert shown(life, tmp_path) == [
        [".  <|im_start|>user↵one<|im_end|>↵<|im_start|>assistant", "+s First.<|im_end|>"],
        [".  <|im_start|>user↵two<|im_end|>↵<|im_start|>assistant", "+s Second.<|im_end|>"],
    ]


def test_an_answer_that_was_rewritten_when_the_next_one_had_been_given(life: Life, tmp_path: Path) -> None:
    life.say(0, "one", [Says("First.")])
    life.say(0, "two", [Says("Second.")])
    life.rewrite(0, 0, 2, "Better.")
    assert shown(life, tmp_path) == [
        [
            ".  <|im_start|>user↵one<|im_end|>↵<|im_start|>assistant↵First.<|im_end|>↵"
            "<|im_start|>user↵two<|im_end|>↵<|im_start|>assistant",
            "+s Second.<|im_end|>",
        ]
    ]
