"""Offline GRPO: recorded logprobs are the sampler's, and what has none, or others, is counted and left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from grpo_world import sample
from threadmill.errors import BadCredit, BadDataset
from threadmill.nodes.models.folder import load_model
from threadmill.training.credit.advantages import Credit
from threadmill.training.recipes.offline_grpo import OfflineGrpoConfig, train_offline_grpo
from threadmill.training.recipes.recorded_groups import recorded_groups
from threadmill.training.recipes.settings import Run

PLAIN = {"temperature": 1.0, "top_p": 1.0, "constrained": False}


def row(group: str, thread: str, **changes: Any) -> dict[str, Any]:
    # fmt: off
    told = {
        "input_ids": [  7,    8,    9,   10,   11,   12],
        "mask":      [  0,    0,    1,    1,    0,    1],
        "logprobs":  [None, None, -0.5, -1.0, None, -2.0],
    }
    # fmt: on
    about = {"reward": 1.0, "sampling": PLAIN, "versions": ["a@0001"], "part": 0, "parts": 1}
    return {"group": group, "thread": thread, **told, **about, **changes}


def test_a_row_becomes_what_is_trained_of_it() -> None:
    found = recorded_groups([row("g", "a"), row("g", "b", reward=0.0)], context=64)
    ((first, second),) = found.groups
    (part,) = first.parts
    assert (part.prompt_ids, part.completion_ids) == ([7, 8], [9, 10, 11, 12])
    assert part.env_mask == [1, 1, 0, 1]
    assert part.turns == [0, 0, -1, 1]
    assert part.logprobs == [-0.5, -1.0, 0.0, -2.0]
    assert (first.reward, second.reward, found.temperature, found.left_out) == (1.0, 0.0, 1.0, {})


def test_what_a_human_wrote_is_read_and_not_trained() -> None:
    edited = row("g", "a", logprobs=[None, None, -0.5, -1.0, None, None])
    found = recorded_groups([edited, row("g", "b")], context=64)
    assert found.groups[0][0].parts[0].env_mask == [1, 1]
    assert found.noted["tokens of humans, not trained"] == 1


def test_the_parts_of_an_episode_come_in_order_and_count_their_turns_on() -> None:
    rows = [row("g", "a", part=1, parts=2), row("g", "a", part=0, parts=2, versions=["first"]), row("g", "b")]
    ((member, _),) = recorded_groups(rows, context=64).groups
    assert [part.versions for part in member.parts] == [("first",), ("a@0001",)]
    assert [part.turns for part in member.parts] == [[0, 0, -1, 1], [2, 2, -1, 3]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"logprobs": [None] * 6}, "no logprobs"),
        ({"sampling": None}, "how it was sampled is not known"),
        ({"sampling": {**PLAIN, "logprobs": "raw"}}, "logprobs are raw"),
        ({"sampling": {**PLAIN, "logprobs": "masked", "constrained": True}}, "logprobs are masked"),
        ({"sampling": {**PLAIN, "temperature": 0.0}}, "sampled at temperature 0"),
        ({"sampling": {**PLAIN, "temperature": 0.5}}, "sampled at another temperature"),
        ({"sampling": {**PLAIN, "top_p": 0.9}}, "narrowed by a grammar, top-p, top-k or min-p"),
        ({"sampling": {**PLAIN, "constrained": True}}, "narrowed by a grammar, top-p, top-k or min-p"),
        ({"redacted": 1}, "redacted"),
        ({"parts": 2}, "not all of its parts are here"),
        ({"input_ids": list(range(6)), "group": "h"}, "alone in its group"),
    ],
)
def test_what_cannot_be_trusted_is_left_out_by_reason(changes: dict[str, Any], reason: str) -> None:
    found = recorded_groups([row("g", "a"), row("g", "b"), row("g", "c") | changes], context=6)
    assert found.left_out == {reason: 1}
    assert [member.thread for member in found.groups[0]] == ["a", "b"]


def test_narrowed_episodes_may_be_kept_and_long_ones_not() -> None:
    narrowed = [row("g", thread, sampling={**PLAIN, "top_p": 0.9}) for thread in "ab"]
    assert len(recorded_groups(narrowed, narrowed="keep", context=6).groups[0]) == 2
    assert recorded_groups(narrowed, narrowed="keep", context=5).left_out == {"longer than the model can read": 2}


Write = Callable[[str, list[dict[str, Any]]], Path]


def test_two_steps_with_the_recorded_logprobs_move_the_weights(
    tmp_path: Path, tiny_folder: Path, write_folder: Write
) -> None:
    model, tokenizer = load_model(str(tiny_folder), device="cpu")
    rows = []
    for at in range(4):
        made = sample(model.eval(), tokenizer, 0.7, at)
        ids = made.prompt_ids + made.completion_ids
        given = [None] * len(made.prompt_ids)
        recorded = [value if bit else None for value, bit in zip(made.logprobs, made.env_mask, strict=True)]
        # two of the four were drawn by a sampler that found every token half as probable
        shift = 0.6931 if at > 1 else 0.0
        told = {
            "input_ids": ids,
            "mask": [0] * len(given) + made.env_mask,
            "logprobs": given + [None if value is None else value - shift for value in recorded],
            "sampling": {**PLAIN, "temperature": 0.7},
            "reward": float(at % 2),
        }
        rows.append(row(f"g{at // 2}", f"t{at}") | told)
    rows += [row("g0", "t9", logprobs=[None] * 6)]
    config = OfflineGrpoConfig(
        write_folder("groups", rows),
        str(tiny_folder),
        tmp_path / "out",
        learning_rate=1e-2,
        epochs=2,
        groups_per_step=2,
        credit=Credit(scale="none"),
        run=Run(save_every=0),
    )
    report = train_offline_grpo(config)
    first, second = (note for note in report.noted if note["kind"] == "update")
    assert report.config["data"]["left_out"] == {"no logprobs": 1}
    assert (report.config["data"]["temperature"], report.config["data"]["groups"]) == (0.7, 2)
    assert first["ratio"]["mean"] == pytest.approx(1.5, abs=1e-3)  # 1 and 2
    assert first["ratio"]["max"] == pytest.approx(2.0, abs=1e-3)
    assert first["ratio"]["effective"] == pytest.approx(0.9, abs=1e-3)  # (6 + 12)² / (12 * (6 + 24))
    assert first["ratio"]["clipped"] == pytest.approx(0.25)  # 2 is beyond 1.2, where the advantage is positive
    assert second["ratio"]["mean"] != pytest.approx(1.5, abs=1e-3)
    after = load_model(str(report.out), device="cpu")[0].state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"logprobs": [None] * 6}, "holds no logprobs, which off-policy ratios need.*sft, dpo or kto"),
        ({"redacted": 1}, r"no group of two episodes that can be trained on \(redacted: 2\)"),
        ({"input_ids": [7, 8, 9, 99_999, 11, 12]}, "holds the token 99999, but .* has [0-9]+ tokens; export threads"),
    ],
)
def test_data_sets_without_use_say_what_to_do(
    tmp_path: Path, tiny_folder: Path, write_folder: Write, changes: dict[str, Any], words: str
) -> None:
    data = write_folder("groups", [row("g", "a") | changes, row("g", "b") | changes])
    with pytest.raises(BadDataset, match=words):
        train_offline_grpo(OfflineGrpoConfig(data, str(tiny_folder), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("assign", "error", "words"),
    [
        ("forks", BadDataset, "holds none for 2 episodes; value their turns with `threadmill credit fork` and export"),
        ("steps", BadCredit, r'"steps" needs a reward for each turn, which neither .* take "outcome", "discounted"'),
    ],
)
def test_credit_that_the_data_cannot_give_is_refused_before_a_step(
    tmp_path: Path, tiny_folder: Path, write_folder: Write, assign: Any, error: type[Exception], words: str
) -> None:
    data = write_folder("groups", [row("g", "a"), row("g", "b", reward=0.0)])
    with pytest.raises(error, match=words):
        train_offline_grpo(OfflineGrpoConfig(data, str(tiny_folder), tmp_path / "out", credit=Credit(assign)))
