"""Groups: the trials of a task after the same prompt, with rewards and what was recorded of sampling."""

from dataclasses import replace

from pair_world import branch, lost, spoken, won
from threadmill.training.branches import Outcome
from threadmill.training.groups import Groups

WARM = {"temperature": 0.7, "top_p": 1.0}


def trial(thread, token, outcome, prompt=1, settings=WARM):
    turns = [
        spoken(f"{thread}a", [prompt, 2], [token], settings={**settings, "seed": token}),
        spoken(f"{thread}b", [3], [9], settings={**settings, "seed": token + 1}),
    ]
    return branch(thread, *turns, outcome=outcome)


def test_a_row_of_a_group():
    groups = Groups()
    good, bad = groups.of_task("task-1", [[trial("t0", 10, won())], [trial("t1", 11, lost())]])
    assert good == {
        "group": good["group"],
        "size": 2,
        "varies": True,
        "input_ids": [1, 2, 10, 3, 9],
        "mask": [0, 0, 1, 0, 1],
        "logprobs": [None, None, -0.5, None, -0.5],
        "prompt_length": 2,
        "reward": 1.0,
        "success": True,
        "sampling": {"temperature": 0.7, "top_p": 1.0, "constrained": False},
        "versions": ["a.think@0001"],
        "part": 0,
        "parts": 1,
        "tokens": "recorded",
        "source": "check",
        "thread": "t0",
        "checkpoint": "leaf",
        "messages": ["t0a", "t0b"],
        "step_values": None,
        "step_advantages": None,
        "agent": "shop",
        "task": "task-1",
    }
    assert (bad["group"], bad["thread"], bad["reward"], bad["success"]) == (good["group"], "t1", 0.0, False)
    assert (groups.left_out, groups.noted) == ({}, {"groups": 1, "groups in which all rewards are the same": 0})


def test_trials_with_other_prompts_are_another_group():
    threads = [[trial(f"t{at}", 10 + at, won(at), prompt=1 + at // 2)] for at in range(5)]
    groups = Groups()
    rows = list(groups.of_task("task-1", threads))
    assert [(row["thread"], row["size"]) for row in rows] == [("t0", 2), ("t1", 2), ("t2", 2), ("t3", 2)]
    assert rows[0]["group"] == rows[1]["group"] != rows[2]["group"] == rows[3]["group"]
    assert groups.noted["tasks with several prompts"] == 1
    assert groups.left_out == {"the only trial after its prompt": 1}


def test_the_same_prompt_of_another_task_is_another_group():
    threads = [[trial("t0", 10, won())], [trial("t1", 11, lost())]]
    names = {row["group"] for task in ("x", "y") for row in Groups().of_task(task, threads)}
    assert len(names) == 2


def test_recorded_and_rendered_trials_are_never_one_group():
    threads = [[trial(f"t{at}", 10 + at, won())] for at in range(4)]
    threads[2:] = [[replace(branches[0], tokens="rendered")] for branches in threads[2:]]
    rows = list(Groups().of_task("task-1", threads))
    assert rows[0]["group"] == rows[1]["group"] != rows[2]["group"] == rows[3]["group"]


def test_a_group_whose_rewards_are_the_same_says_so():
    groups = Groups()
    rows = list(groups.of_task("task-1", [[trial("t0", 10, won())], [trial("t1", 11, won())]]))
    assert [row["varies"] for row in rows] == [False, False]
    assert groups.noted["groups in which all rewards are the same"] == 1


def test_a_success_without_a_reward_is_1_and_a_trial_without_either_is_left_out():
    threads = [
        [trial("t0", 10, Outcome(success=True, source="ann"))],
        [trial("t1", 11, Outcome(success=False, source="ann"))],
        [trial("t2", 12, Outcome())],
        [branch("t3", outcome=won())],
        [],
        [branch("t5", spoken("z", [1, 2], [10], edited=True), outcome=won())],
    ]
    groups = Groups()
    assert [row["reward"] for row in groups.of_task("task-1", threads)] == [1.0, 0.0]
    assert groups.left_out == {"no reward": 1, "no message of a model": 2, "nothing to train": 1}


def test_settings_are_unknown_unless_every_turn_was_sampled_alike():
    mixed = branch(
        "t0",
        spoken("a", [1, 2], [10], settings=WARM),
        spoken("b", [3], [9], settings={"temperature": 0}),
        outcome=won(),
    )
    unknown = trial("t1", 11, lost(), settings={})
    silent = branch("t2", spoken("c", [1, 2], [10]), outcome=won())
    rows = list(Groups().of_task("task-1", [[mixed], [unknown], [silent]]))
    assert [row["sampling"] for row in rows] == [None, None, None]


def test_a_trial_is_the_newest_branch_and_a_copy_of_another_is_left_out():
    old, new = trial("t0", 10, lost()), trial("t0", 11, won())
    other = trial("t1", 12, lost())
    groups = Groups()
    rows = list(groups.of_task("task-1", [[old, new], [other], [replace(new, thread="copy")]]))
    assert [(row["thread"], row["reward"]) for row in rows] == [("t0", 1.0), ("t1", 0.0)]
    assert groups.left_out == {"a copy of another trial": 1}


def test_a_trial_with_a_restart_is_two_rows_of_one_group():
    restarted = branch("t0", spoken("a", [1, 2], [10]), spoken("b", [7], [12], restart=True), outcome=won())
    rows = list(Groups().of_task("task-1", [[restarted], [trial("t1", 11, lost())]]))
    assert [(row["thread"], row["part"], row["parts"]) for row in rows] == [("t0", 0, 2), ("t0", 1, 2), ("t1", 0, 1)]
    assert {row["size"] for row in rows} == {2}
    assert len({row["group"] for row in rows}) == 1


def test_a_trial_with_a_part_that_is_too_long_is_left_out():
    long = branch("t0", spoken("a", [1, 2], [10]), spoken("b", [7] * 9, [12], restart=True), outcome=won())
    groups = Groups(max_length=5)
    threads = [[long], [trial("t1", 11, lost())], [trial("t2", 12, won())]]
    assert [row["thread"] for row in groups.of_task("task-1", threads)] == ["t1", "t2"]
    assert groups.left_out == {"longer than 5 tokens": 1}


def test_what_a_human_wrote_is_masked_in_without_a_logprob():
    edited = [spoken("a", [1, 2], [10], edited=True), spoken("b", [20, 3], [12], human=((0, 1),))]
    rows = list(Groups().of_task("task-1", [[branch("t0", *edited, outcome=won())], [trial("t1", 11, lost())]]))
    assert rows[0]["input_ids"] == [1, 2, 20, 3, 12]
    assert rows[0]["mask"] == [0, 0, 1, 0, 1]
    assert rows[0]["logprobs"] == [None, None, None, None, -0.5]


def test_only_the_turns_of_chosen_nodes_are_trained_and_the_prompt_stays_the_prompt():
    threads = [[trial("t0", 10, won())], [trial("t1", 11, lost())]]
    threads = [[replace(one, nodes={f"{one.thread}b": "think"})] for (one,) in threads]
    rows = list(Groups(nodes={"think"}).of_task("task-1", threads))
    assert [row["mask"] for row in rows] == [[0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    assert {row["size"] for row in rows} == {2}


def test_the_prompt_is_that_of_the_first_turn_that_is_left():
    begun = [spoken("a", [1, 2], [10], edited=True), spoken("b", [7], [11], restart=True)]
    groups = Groups()
    threads = [[branch("t0", *begun, outcome=won())], [trial("t1", 11, lost())], [trial("t2", 12, won())]]
    assert [row["thread"] for row in groups.of_task("task-1", threads)] == ["t1", "t2"]
    assert groups.left_out == {"the only trial after its prompt": 1}
