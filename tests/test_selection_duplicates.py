"""Of rows that are the same, or nearly, one stays: the best."""

import random

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from selection_rows import decide, decisions, row
from threadmill.training.branches import Branch, Outcome
from threadmill.training.selection.duplicates import Sketch, Sketcher, branch_text
from threadmill.training.selection.words import runs, words

WORDS = [f"word{number}" for number in range(300)]


def similarity(one: str, other: str) -> float:
    """Jaccard's, of runs of five words."""
    a, b = set(runs(words(one), 5)), set(runs(words(other), 5))
    return len(a & b) / len(a | b)


def changed(text: list[str], count: int, seed: int = 0) -> str:
    """``text`` with ``count`` words replaced."""
    rng = random.Random(seed)
    places = rng.sample(range(len(text)), count)
    return " ".join(f"other{place}" if place in places else word for place, word in enumerate(text))


def test_of_equal_contents_the_one_with_the_highest_reward_stays():
    rows = [
        row(0, digest="x", reward=0.5),
        row(1, digest="x", reward=1.0),
        row(2, digest="x", reward=0.5, success=True),
        row(3, digest="y"),
    ]
    assert decisions(rows, exact=True) == ["left out: duplicate", "train", "left out: duplicate", "train"]
    assert decisions(rows) == ["train"] * 4


def test_of_equal_contents_and_outcomes_the_names_of_the_threads_decide():
    rows = [row(0, digest="x", thread="t2"), row(1, digest="x", thread="t1")]
    assert decisions(rows, exact=True) == ["left out: duplicate", "train"]


def test_texts_that_are_nearly_the_same():
    near, far = changed(WORDS, 2), changed(WORDS, 20)
    assert similarity(" ".join(WORDS), near) > 0.9
    assert 0.5 < similarity(" ".join(WORDS), far) < 0.6
    rows = [row(0, text=near), row(1, text=" ".join(WORDS).upper() + "!", reward=1.0), row(2, text=far), row(3)]
    assert decisions(rows, near=0.8) == ["left out: near duplicate", "train", "train", "train"]
    assert decisions(rows, near=0.4) == ["left out: near duplicate", "train", "left out: near duplicate", "train"]


def test_a_threshold_of_one_takes_equal_words_only():
    rows = [row(0, text="Cancel order O1."), row(1, text="cancel ORDER o1"), row(2, text="Cancel order O2.")]
    assert decisions(rows, near=1.0) == ["train", "left out: near duplicate", "train"]


def test_texts_without_words_are_like_no_other():
    assert decisions([row(0, text="..."), row(1, text="..."), row(2), row(3)], near=0.5) == ["train"] * 4


def test_a_chain_of_likenesses_does_not_fall_as_a_whole():
    first, second, third = " ".join(WORDS), changed(WORDS, 5), changed(changed(WORDS, 5).split(), 6, seed=1)
    assert similarity(first, second) > 0.8 < similarity(second, third)
    assert similarity(first, third) < 0.75
    rows = [row(0, text=first), row(1, text=second), row(2, text=third)]
    assert decisions(rows, near=0.78) == ["train", "left out: near duplicate", "train"]


def test_the_estimate_is_near_the_truth():
    def sketch_of(text: str) -> Sketch:
        sketch = Sketcher(0.8).sketch(text)
        assert sketch is not None
        return sketch

    sketch = sketch_of(" ".join(WORDS))
    for count in (0, 3, 10, 30):
        text = changed(WORDS, count)
        assert abs(sketch.likeness(sketch_of(text)) - similarity(" ".join(WORDS), text)) < 0.1
    assert len(sketch.values) == 128


def test_near_duplicates_are_found_among_many():
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=60)) for _ in range(150)]
    rows = [row(place, thread=f"t{place:03d}", text=text) for place, text in enumerate(texts)]
    rows += [row(150 + place, thread=f"u{place:03d}", text=f"{text} indeed") for place, text in enumerate(texts)]
    selected = decide(rows, near=0.8)
    assert selected.left_out["near duplicate"] >= 145  # each is found with a chance of 99 %
    assert all(place >= 150 for place, decided in selected.decisions.items() if decided != "train")


def test_texts_that_are_only_somewhat_alike_stay():
    rng = random.Random(0)
    texts = [rng.choices(WORDS, k=300) for _ in range(30)]
    pairs = [(" ".join(text), changed(text, 6)) for text in texts]
    assert all(similarity(one, other) < 0.83 for one, other in pairs)
    rows = [row(place, text=text) for place, text in enumerate(text for pair in pairs for text in pair)]
    assert decide(rows, near=0.93).left_out == {}  # though some share keys


def test_the_text_of_a_branch_is_what_people_and_the_agent_said_and_called():
    messages = (
        SystemMessage("Be kind."),
        HumanMessage("Cancel O1."),
        AIMessage("I look.", tool_calls=[{"name": "cancel", "args": {"b": "ü", "a": 1}, "id": "random"}]),
        ToolMessage("a long list", tool_call_id="random"),
        AIMessage("Done."),
    )
    branch = Branch("t", "c", None, messages, "rendered", (), Outcome())
    assert branch_text(branch) == 'Cancel O1.\nI look.\ncancel {"a": 1, "b": "ü"}\nDone.'
