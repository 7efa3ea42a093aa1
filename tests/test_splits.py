"""Train and test share no thread, task, opening or content."""

from hypothesis import given, settings
from hypothesis import strategies as st
from selection_rows import decide, decisions, row
from threadmill.training.selection.entry import entry_of
from threadmill.training.selection.splits import find_leaks


def sides(rows, *, test=0.5, seed=0):
    return decisions(rows, test=test, seed=seed)


def together(rows):
    """Are all rows on one side, whatever the seed? A row of its own beside them takes the other side if it must."""
    others = [row(100 + place) for place in range(3)]
    return all(len(set(sides([*rows, *others], seed=seed)[: len(rows)])) == 1 for seed in range(20))


def test_trials_of_a_task_stay_together():
    assert together([row(place, task="a", opening=f"Hello {place}") for place in range(4)])


def test_branches_of_a_thread_stay_together():
    assert together([row(0, thread="t", checkpoint="c1"), row(1, thread="t", checkpoint="c2", opening="Another start")])


def test_a_copy_of_a_thread_stays_with_it():
    assert together([row(0, opening="Where is my order?"), row(1, thread="copy", opening="where is my order")])


def test_tasks_that_begin_with_the_same_words_stay_together():
    assert together([row(0, task="a", opening="Cancel my order."), row(1, task="b", opening="Cancel my order.")])


def test_equal_contents_stay_together():
    assert together([row(0, digest="x"), row(1, digest="x")])


def test_what_is_bound_by_way_of_another_row_stays_together():
    chain = [row(0, task="a", thread="t1"), row(1, thread="t1", digest="x"), row(2, task="c", digest="x")]
    assert together(chain)
    assert not together([chain[0], chain[2]])


def test_about_the_asked_part_is_tested():
    rows = [row(place, task=f"task-{place}") for place in range(400)]
    assert 25 <= len(decide(rows, test=0.1).places("test")) <= 55
    assert sides(rows, test=0.1) == sides(rows, test=0.1) != sides(rows, test=0.1, seed=1)
    assert set(sides(rows, test=0.0)) == {"train"}


def test_a_task_stays_on_its_side_when_others_come():
    rows = [row(place, task=f"task-{place}") for place in range(100)]
    assert sides(rows)[:50] == sides(rows[:50])


def test_a_larger_test_split_holds_the_smaller_one():
    rows = [row(place, task=f"task-{place}") for place in range(60)]
    assert set(decide(rows, test=0.1).places("test")) < set(decide(rows, test=0.4).places("test"))


def test_no_side_is_empty():
    rows = [row(0, task="a"), row(1, task="b"), row(2, task="a")]
    for seed in range(20):
        assert set(sides(rows, test=0.001, seed=seed)) == {"train", "test"}
        assert set(sides(rows, test=0.999, seed=seed)) == {"train", "test"}
    assert set(sides([row(0, task="a"), row(1, task="a")], test=0.001)) == {"train"}


texts = st.sampled_from(["", "a", "b", "c", "d", "A!", "e", "f"])


@settings(max_examples=50, deadline=None)
@given(
    made=st.lists(st.tuples(texts, st.sampled_from([None, *"abcdefgh"]), texts, texts), max_size=20),
    test=st.sampled_from([0.1, 0.5, 0.9]),
    seed=st.integers(0, 5),
)
def test_no_split_leaks(made, test, seed):
    rows = [
        row(place, thread=thread, task=task, opening=opening, digest=digest or "none")
        for place, (thread, task, opening, digest) in enumerate(made)
    ]
    decided = decide(rows, test=test, seed=seed)
    found = {side: [rows[place] for place in decided.places(side)] for side in ("train", "test")}
    for known in (
        lambda one: one.facts.thread,
        lambda one: one.facts.task or one.place,
        lambda one: one.facts.opening.lower().strip("!") or one.place,
        lambda one: one.digest,
        lambda one: one.facts.split_key,
    ):
        assert not {known(one) for one in found["train"]} & {known(one) for one in found["test"]}


def test_a_leak_is_named():
    entries = [entry_of(row(0, task="a", opening="Hi")), entry_of(row(1, task="a", opening="Ho"))]
    assert find_leaks(entries, {0: "train", 1: "test"}) == ["task a"]
    assert find_leaks(entries, {0: "train", 1: "train"}) == []
