"""What holds for pairs, KTO rows, groups and rows of chosen nodes, over random tasks.

A task is made of trials that draw from two or three tokens, so that they often share, repeat and contradict.
"""

from collections import Counter
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from pair_world import CALL, branch, lost, result, spoken, won
from threadmill.training.branches import Outcome
from threadmill.training.groups import Groups
from threadmill.training.kto import Kto
from threadmill.training.pairing.contradictions import edge_of, find_contradictions, name_of
from threadmill.training.pairing.pairs import Pairs
from threadmill.training.rows import SftRows
from threadmill.training.trajectory import loss_mask

OUTCOMES = [won(), lost(), Outcome(), Outcome(reward=0.5, source="judge"), Outcome(reward=1.0, source="judge")]
KINDS = ["plain", "plain", "plain", "call", "invent", "invalid", "rejected", "edit", "restart"]
turns = st.tuples(
    st.sampled_from([1, 1, 1, 1, 2]),  # the token of what was given
    st.sampled_from([10, 11, 12]),  # the token of the turn
    st.integers(0, len(KINDS) - 1).map(KINDS.__getitem__),
)
runs = st.tuples(st.lists(turns, min_size=1, max_size=3), st.sampled_from(OUTCOMES))
threads = st.tuples(
    runs,
    st.none() | st.tuples(st.integers(0, 3), runs),  # a second branch, which shares so many turns
    st.sampled_from(["task-1", "task-1", "task-1", "task-2", None]),
)
tasks = st.lists(threads, min_size=4, max_size=8)


def messages_of(plan, name, shared):
    """The messages of a run; the first ``shared`` of another run's turns come first."""
    messages = list(shared)
    human = bool(messages) and "edit" in getattr(messages[-1], "response_metadata", {})
    for at, (given_token, token, kind) in enumerate(plan):
        prompt = [30, given_token] if human and kind != "restart" else [given_token]
        message = spoken(
            f"{name}.{at}",
            prompt,
            [token, 9],
            human=((0, 1),) if human and kind != "restart" else (),
            text="Observation: 7" if kind == "invent" else "",
            edited=kind == "edit",
            restart=kind == "restart" and bool(messages),
            calls=[CALL] if kind in ("call", "invalid", "rejected") else (),
        )
        messages.append(message)
        if kind in ("call", "invalid", "rejected"):
            messages.append(result("result" if kind == "call" else kind))
        human = kind == "edit"
    return messages


def grow(plans):
    """The branches of each thread; turns are of the nodes think and plan by turns."""
    grown = []
    for number, ((plan, outcome), fork, task) in enumerate(plans):
        name = f"t{number}"
        trunk = messages_of(plan, name, ())
        branches = [branch(name, *trunk, outcome=outcome, task=task, leaf="c1")]
        if fork is not None:
            at, (other, ending) = fork
            shared = [message for message in trunk[: trunk.index(_nth(trunk, at))]]
            forked = messages_of(other, f"{name}f", shared)
            branches.append(branch(name, *forked, outcome=ending, task=task, leaf="c2"))
        grown.append([replace(one, nodes=_alternating(one)) for one in branches])
    return grown


def _nth(messages, number):
    spoken_ones = [message for message in messages if message.type == "ai"]
    return spoken_ones[min(number, len(spoken_ones) - 1)]


def _alternating(one):
    return {name: ("think", "plan")[int(name[-1]) % 2] for name in one.nodes}


def by_task(grown):
    """What an export feeds at once: the threads of a task, or one thread without."""
    names = sorted({one[0].task for one in grown if one[0].task})
    return [[one for one in grown if one[0].task == name] for name in names] + [
        [one] for one in grown if one[0].task is None
    ]


def places(grown, thread, checkpoint):
    """Ids and loss mask of each trajectory of a branch, and of each proposal after what the model had seen."""
    (found,) = (one for branches in grown for one in branches if (one.thread, one.checkpoint) == (thread, checkpoint))
    for trajectory in found.trajectories:
        yield trajectory.ids(), loss_mask(trajectory.spans)
        for proposal in trajectory.proposals:
            spans = (*trajectory.spans[: proposal.at], proposal.span)
            yield [token for span in spans for token in span.tokens], loss_mask(spans)


def stands(grown, thread, checkpoint, prompt, ids, mask, *, exactly=True):
    """Do these ids follow that prompt in the branch, with that mask?"""
    start, end = len(prompt), len(prompt) + len(ids)
    return any(
        seen[:end] == prompt + ids
        and (marks[start:end] == mask if exactly else all(a <= b for a, b in zip(mask, marks[start:end], strict=True)))
        for seen, marks in places(grown, thread, checkpoint)
    )


@given(tasks, st.sampled_from(["whole", "turn"]))
@settings(deadline=None, max_examples=60)
def test_both_sides_of_a_pair_follow_the_same_tokens_with_the_masks_of_their_spans(plans, continuation):
    grown = grow(plans)
    pairs = Pairs(continuation=continuation)
    rows = [row for threads in by_task(grown) for row in pairs.of(threads)]
    for row in rows:
        assert row["chosen_ids"] != row["rejected_ids"]
        for number, side in enumerate(("chosen", "rejected")):
            if (row["source"], side) == ("repair", "chosen"):
                assert row["chosen_mask"] == [1] * len(row["chosen_ids"])  # the turn, put in front of its own place
                continue
            place = row["threads"][number], row["checkpoints"][number]
            assert stands(grown, *place, row["prompt_ids"], row[f"{side}_ids"], row[f"{side}_mask"]), row
            assert row[f"{side}_mask"][0] == row[f"{side}_mask"][-1] == 1
    assert max(Counter(row["pair"] for row in rows).values(), default=1) == 1


edges = st.sets(st.tuples(*(st.integers(0, most) for most in (1, 4, 4))).filter(lambda edge: edge[1] != edge[2]))


@given(edges)
@settings(deadline=None, max_examples=60)
def test_the_pairs_that_contradict_are_those_on_a_circle(drawn):
    above = set(drawn)  # the relation closed: who is above somebody is above those whom that one is above
    while more := {(p, a, d) for (p, a, b), (q, c, d) in product(above, above) if p == q and b == c} - above:
        above |= more
    named = {edge: name_of(edge_of(*([number] for number in edge))) for edge in drawn}
    found = find_contradictions(edge_of(*([number] for number in edge)) for edge in drawn)
    assert found == {name for (p, a, b), name in named.items() if (p, b, a) in above}


@given(tasks, st.sampled_from([None, {"think"}]))
@settings(deadline=None, max_examples=60)
def test_every_turn_is_judged_in_one_kto_row_at_most_and_none_without_a_reason_is_lost(plans, nodes):
    grown = grow(plans)
    kto = Kto(nodes=nodes)
    rows = [row for branches in grown for row in kto.of(branches)]
    for row in rows:
        place = row["thread"], row["checkpoint"]
        assert stands(grown, *place, row["prompt_ids"], row["completion_ids"], row["completion_mask"], exactly=False)
        assert row["completion_mask"][0] == row["completion_mask"][-1] == 1
    proposals = {
        one.id
        for branches in grown
        for branch in branches
        for one in branch.messages
        if "edit" in one.response_metadata
    }
    judged = Counter((message, row["label"], row["source"]) for row in rows for message in row["messages"])
    assert all(count == 1 for count in judged.values())
    assert all(count == 1 or message in proposals for message, count in Counter(m for m, _, _ in judged).items())
    for branches in grown:
        sides = {one.outcome.success for one in branches}
        if sides == {True}:
            spoken_in = {span.message for one in branches for t in one.trajectories for span in t.spans if span.message}
            wanted = {name for name in spoken_in if nodes is None or branches_node(branches, name) in nodes}
            assert wanted <= {message for message, _, _ in judged}


def branches_node(branches, name):
    return next(one.nodes[name] for one in branches if name in one.nodes)


@given(tasks)
@settings(deadline=None, max_examples=40)
def test_the_rows_of_each_node_share_no_turn_and_are_together_the_rows_of_all(plans):
    grown = [one for branches in grow(plans) for one in branches]
    trained = {}
    for nodes in ({"think"}, {"plan"}, {"think", "plan"}, None):
        rows = list(SftRows(nodes=nodes).of(grown))
        for row in rows:
            assert all(label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))
            assert set(row["nodes"]) <= (nodes or {"think", "plan"})
            assert row["messages"]
            assert any(label != -100 for label in row["labels"])
        trained[tuple(sorted(nodes or ()))] = Counter(message for row in rows for message in row["messages"])
    assert trained["think",] + trained["plan",] == trained["plan", "think"] == trained[()]
    assert set(trained[()].values()) <= {1}


@given(tasks)
@settings(deadline=None, max_examples=40)
def test_a_group_holds_trials_of_one_prompt_with_the_masks_of_their_spans(plans):
    grown = grow(plans)
    groups = Groups()
    rows = [
        row for threads in by_task(grown) for row in groups.of_task(threads[0][0].task or threads[0][0].thread, threads)
    ]
    members = {}
    for row in rows:
        mine = [(row["input_ids"], row["mask"])]
        assert mine[0] in list(places(grown, row["thread"], row["checkpoint"]))
        assert all(logprob is None for mark, logprob in zip(row["mask"], row["logprobs"], strict=True) if not mark)
        if row["part"] == 0:
            members.setdefault(row["group"], []).append(row)
    for group in members.values():
        assert {row["size"] for row in group} == {len(group)}
        assert len(group) > 1
        assert {row["varies"] for row in group} == {len({row["reward"] for row in group}) > 1}
        assert len({(row["task"], *row["input_ids"][: row["prompt_length"]]) for row in group}) == 1
