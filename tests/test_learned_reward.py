"""The learned reward: what it compares, how its certainty is judged, and what episodes earn by it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pair_world import spoken
from threadmill.errors import BadEvaluation, BadModelFolder, BadReward
from threadmill.training.rewards.calibration import calibrate, expected_calibration_error, reliability
from threadmill.training.rewards.compared import compare, heads_of, hold_out
from threadmill.training.rewards.finished import Finished, Reasoned
from threadmill.training.rewards.held_out import judge_pairs
from threadmill.training.rewards.learned import RewardModel, make_learned, open_reward_model


def side(completion=None, tool_use=None, efficiency=None):
    return {"completion": completion, "tool_use": tool_use, "efficiency": efficiency}


def row(task, prompt, chosen, rejected, sides=None, threads=("a", "b")):
    told = {} if sides is None else {"components": dict(zip(("chosen", "rejected"), sides, strict=True))}
    ids = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
    return {**ids, "task": task, "threads": threads, "source": "trials", **told}


def test_each_head_compares_where_its_component_differs():
    unequal = (side(1.0, 0.5, -4.0), side(0.0, 1.0, None))
    (one,) = compare([row("x", [1], [2], [3], unequal)])
    assert (one.chosen, one.rejected, one.group) == ([1, 2], [1, 3], "task x")
    assert one.better == {"overall": 1, "completion": 1, "tool_use": -1}  # nobody knows how efficient a failure was
    (bare,) = compare([row("x", [1], [2], [3])])
    assert bare.better == {"overall": 1}
    (alone,) = compare([row("x", [1], [2], [3], unequal)], components=False)
    assert alone.better == {"overall": 1}


def test_chosen_sides_of_a_task_compare_their_steps_and_no_preference():
    lost = side(0.0)
    rows = [
        row("x", [1], [2, 5], [3], (side(1.0, 1.0, -4.0), lost)),
        row("x", [1, 2], [4], [3], (side(1.0, 1.0, -3.0), lost)),
        row("y", [1], [6], [3], (side(1.0, 1.0, -2.0), lost)),
        row("x", [1], [2, 5], [7], (side(1.0, 1.0, -4.0), lost)),  # the first one's chosen side again
    ]
    between = [one for one in compare(rows) if one.source == "chosen sides"]
    assert [(one.chosen, one.rejected, one.better) for one in between] == [([1, 2, 5], [1, 2, 4], {"efficiency": -1})]
    assert heads_of(compare(rows)) == {"overall": 4, "completion": 4, "efficiency": 1}


def test_what_is_held_out_shares_no_task_no_thread_and_no_prefix():
    rows = [
        row("x", [1, 2], [3], [4], threads=("t1", "t2")),
        row("x", [9, 9], [3], [4], threads=("t3", "t4")),  # the same task
        row(None, [1, 2, 3], [5], [6], threads=("t5", "t5")),  # goes on after the first
        row(None, [7], [5], [6], threads=("t5", "t5")),  # the same thread as that
        row("y", [8], [5], [6], threads=("t6", "t7")),
    ]
    for seed in range(4):
        train, test = hold_out(rows, 0.5, seed)
        assert sorted([len(train), len(test)]) == [1, 4]
        assert rows[4] in (train if len(train) == 1 else test)
    assert hold_out(rows[:4], 0.5, 0) == (rows[:4], [])
    assert hold_out(rows, 0.0, 0) == (rows, [])


def test_half_of_the_tasks_are_held_out_and_stay_so_when_others_come():
    rows = [row(f"x{n}", [n], [100], [101], threads=(f"t{n}",)) for n in range(40)]
    train, test = hold_out(rows, 0.5, 0)
    assert len(train) == len(test) == 20
    more = [row(f"z{n}", [50 + n], [100], [101], threads=(f"u{n}",)) for n in range(4)]
    _, later = hold_out([*rows, *more], 0.5, 0)
    assert sum(one in later for one in test) >= 18


def test_calibration_of_pairs_that_can_be_counted_by_hand():
    sure, unsure = math.log(9), 0.0  # 90 %, and a draw
    found = calibrate([sure] * 7 + [-sure] + [unsure] * 2, seed=1)
    assert found.accuracy.mean == pytest.approx((7 + 2 / 2) / 10)
    assert found.brier.mean == pytest.approx((7 * 0.1**2 + 0.9**2 + 2 * 0.5**2) / 10)
    assert found.loss.mean == pytest.approx(-(7 * math.log(0.9) + math.log(0.1) + 2 * math.log(0.5)) / 10)
    assert found.ece.mean == pytest.approx(0.8 * abs(7 / 8 - 0.9))
    assert [(one.pairs, round(one.confidence, 3), one.accuracy) for one in found.bins] == [
        (2, 0.5, 0.5),
        (8, 0.9, 0.875),
    ]
    assert (found.accuracy.low or 1) < 0.8 < (found.accuracy.high or 0)
    assert 0 < found.ece_if_calibrated.mean < 0.3


def test_pairs_of_one_task_are_no_evidence_of_another():
    together = calibrate([1.0] * 50 + [-1.0] * 50, groups=["x"] * 50 + ["y"] * 50).accuracy
    assert (together.low, together.high) == (0.0, 1.0)
    alone = calibrate([1.0, -1.0], groups=["x", "x"]).accuracy
    assert (alone.mean, alone.low, alone.high) == (0.5, None, None)
    perfect = calibrate([5.0] * 20).accuracy
    assert (perfect.mean, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson: twenty of twenty


def test_margins_of_a_true_model_show_its_error_by_chance_alone():
    draws = torch.Generator().manual_seed(0)
    margins = torch.randn(2000, generator=draws).abs() * 2
    right = torch.rand(2000, generator=draws) < torch.sigmoid(margins)
    found = calibrate(torch.where(right, margins, -margins).tolist())
    assert (found.ece_if_calibrated.low or 1) <= found.ece.mean <= (found.ece_if_calibrated.high or 0)
    assert expected_calibration_error(torch.where(right, 5 * margins, -5 * margins).tolist()) > 0.1
    assert sum(one.pairs for one in reliability(margins.tolist())) == 2000


def test_margins_that_say_nothing_are_refused():
    with pytest.raises(BadEvaluation, match="0 margins"):
        calibrate([])
    with pytest.raises(BadEvaluation, match="1 are no finite number"):
        calibrate([1.0, math.nan])
    with pytest.raises(BadEvaluation, match="2 margins, but 1 groups"):
        calibrate([1.0, 2.0], groups=["x"])


@pytest.fixture
def scoring(tmp_path: Path, tiny_model: Any, tiny_tokenizer: Any) -> RewardModel:
    """A reward model with two heads of random weights, opened from its folder."""
    from threadmill.training.rewards.scoring_model import make_scoring_model

    model = make_scoring_model(tiny_model, ["overall", "efficiency"], "tiny")
    torch.manual_seed(3)
    torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(tmp_path / "scoring")
    tiny_tokenizer.save_pretrained(tmp_path / "scoring")
    return open_reward_model(tmp_path / "scoring", device="cpu")


def test_scores_do_not_depend_on_who_shares_the_batch(scoring: RewardModel):
    sequences = [[300, 301], [310] * 40, [320, 321, 322], [330]]
    together = scoring.score(sequences)
    scoring.tokens_at_once = 1
    apart = scoring.score(sequences)
    assert [list(one) for one in together] == [["overall", "efficiency"]] * 4
    for one, other in zip(together, apart, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert scoring.score([]) == []


def test_sequences_that_it_cannot_read_are_refused(scoring: RewardModel):
    with pytest.raises(BadReward, match="episode 2 has 0 tokens"):
        scoring.score([[300], []])
    with pytest.raises(BadReward, match=r"300 tokens, and .* reads 1 to 256"):
        scoring.score([[300] * 300])
    with pytest.raises(BadReward, match="the token 99999"):
        scoring.score([[99999]])


RECORDED = [
    HumanMessage("?", id="h"),
    spoken("a", [1, 2], [10, 11], calls=[{"name": "refund", "args": {}, "id": "c"}]),
    ToolMessage("7", tool_call_id="c", id="r"),
    spoken("b", [20, 3], [12]),
]


def test_an_episode_is_read_as_pairs_hold_it(scoring: RewardModel):
    assert scoring.read(RECORDED) == [1, 2, 10, 11, 20, 3, 12]
    assert scoring.read([*RECORDED, HumanMessage("and?", id="i")]) == [1, 2, 10, 11, 20, 3, 12]
    told = [HumanMessage("Where is O123?"), AIMessage("Order O123 is shipped.")]
    ids = scoring.read(told)
    assert scoring.tokenizer.decode(ids).endswith("Order O123 is shipped.<|im_end|>")
    assert scoring.read(told, rendered=True) == ids
    with pytest.raises(BadReward, match="no answer of a model"):
        scoring.read([HumanMessage("?")])


def test_a_finished_episode_earns_the_score_of_the_head(scoring: RewardModel):
    group = [
        Finished("t1", messages=tuple(RECORDED)),
        Finished("t2", messages=(HumanMessage("?"),), status="failed"),
        Finished("t3", messages=(HumanMessage("?"), AIMessage("Shipped."))),
    ]
    earned = make_learned(scoring)(group)
    (direct,) = scoring.score([[1, 2, 10, 11, 20, 3, 12]])
    assert earned[0] == pytest.approx(direct["overall"], abs=1e-5)
    assert earned[1] == min(earned[0], earned[2])
    assert make_learned(scoring, head="efficiency")(group)[0] == pytest.approx(direct["efficiency"], abs=1e-5)
    (reasoned, *_) = earned
    assert isinstance(reasoned, Reasoned)
    assert reasoned.why == f"overall {direct['overall']:+.3f}, efficiency {direct['efficiency']:+.3f}"
    with pytest.raises(BadReward, match="no head 'tool_use', but overall, efficiency"):
        make_learned(scoring, head="tool_use")


def test_held_out_pairs_are_ranked_by_every_head(scoring: RewardModel):
    scores = scoring.score([[300, 310], [300, 311]])
    better, worse = (310, 311) if scores[0]["overall"] > scores[1]["overall"] else (311, 310)
    rows = [row("x", [300], [better], [worse]), row("y", [300], [worse], [better])]
    found = judge_pairs(scoring, rows)
    assert (found["heads"]["overall"]["accuracy"]["mean"], found["heads"].keys()) == (0.5, {"overall"})
    assert found["by_source"]["trials"]["pairs"] == 2


def test_a_folder_that_is_no_reward_model_says_so(tiny_folder: Path):
    with pytest.raises(BadModelFolder, match=r"no reward model: its config\.json names LlamaForCausalLM"):
        open_reward_model(tiny_folder)
