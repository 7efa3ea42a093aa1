"""The reward recipe: first loss ln 2, gradients only through heads in use, pairs held out, an ordinary folder."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from threadmill.errors import BadDataset, BadModelFolder
from threadmill.training.recipes.reward import RewardConfig, make_trainer, read_pairs, train_reward
from threadmill.training.recipes.settings import Lora, Run
from threadmill.training.rewards.learned import open_reward_model


def side(completion=None, tool_use=None, efficiency=None):
    return {"completion": completion, "tool_use": tool_use, "efficiency": efficiency}


def pair(task, chosen=(310, 311, 312), rejected=(340, 341), sides=None, **more):
    return {
        "prompt_ids": [300, 301, task],
        "chosen_ids": list(chosen),
        "chosen_mask": [1] * len(chosen),
        "rejected_ids": list(rejected),
        "rejected_mask": [1] * len(rejected),
        "source": "trials",
        "threads": [f"{task}-a", f"{task}-b"],
        "task": f"task-{task}",
        **({} if sides is None else {"components": dict(zip(("chosen", "rejected"), sides, strict=True))}),
        **more,
    }


DONE_OR_NOT = (side(completion=1.0, tool_use=1.0, efficiency=-3.0), side(completion=0.0, tool_use=0.5))


def config_of(tmp_path: Path, base: Path, data: Path, **more: Any) -> RewardConfig:
    return RewardConfig(data, str(base), tmp_path / "out", **{"batch_size": 4, "max_steps": 4, **more})


@pytest.mark.parametrize("rank", [0, 4])
def test_a_run_begins_at_ln_2_and_leaves_an_ordinary_folder(
    tmp_path: Path, tiny_folder: Path, write_folder: Any, rank: int
) -> None:
    data = write_folder("pairs", [pair(task, sides=DONE_OR_NOT) for task in range(310, 320)])
    report = train_reward(config_of(tmp_path, tiny_folder, data, learning_rate=1e-2, lora=Lora(rank=rank)))
    assert report.loss_first == pytest.approx(math.log(2), abs=1e-6)
    assert report.loss_last < math.log(2) - 0.01

    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(report.out)
    assert model.config.id2label == {0: "overall", 1: "completion", 2: "tool_use"}
    ids = [300, 301, 310, 310, 311, 312]
    (ours,) = open_reward_model(report.out, device="cpu").score([ids])
    assert list(ours.values()) == pytest.approx(model(torch.tensor([ids])).logits[0].tolist(), abs=1e-6)

    from safetensors.torch import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_folder, report.out))
    moved = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(before[moved], after[moved])
    assert all(float(row.abs().max()) > 0 for row in after["score.weight"])

    told = json.loads((report.out / "training.json").read_text())["config"]["data"]
    assert (told["rows"], told["heads"]) == (9, {"overall": 9, "completion": 9, "tool_use": 9})
    assert told["held_out"]["split"] == "no test split: 0.1 of the tasks were held out"
    assert told["held_out"]["pairs"] == 1


def trainer_of(config: RewardConfig) -> Any:
    trainer, _, _ = make_trainer(config, read_pairs(config))
    torch.manual_seed(1)
    torch.nn.init.normal_(trainer.model.score.weight)  # as if some steps had been taken
    return trainer


def test_a_gradient_flows_only_through_heads_that_can_tell(
    tmp_path: Path, tiny_folder: Path, write_folder: Any
) -> None:
    rows = [pair(310, sides=DONE_OR_NOT), pair(311, sides=(side(tool_use=0.5), side(tool_use=1.0)))]
    data = write_folder("pairs", rows)
    trainer = trainer_of(config_of(tmp_path, tiny_folder, data, held_out=0.0, batch_size=1, component_weight=1.0))
    assert trainer.heads == ["overall", "completion", "tool_use"]
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    assert [batch["better"].tolist() for batch in batches] == [[[1, 1, 1]], [[1, 0, -1]]]
    trainer.compute_loss(trainer.model, batches[1]).backward()
    through = trainer.model.score.weight.grad.abs().sum(1)
    assert [float(one) > 0 for one in through] == [True, False, True]
    assert float(through[1]) == 0.0
    assert all(float(p.grad.abs().sum()) > 0 for p in trainer.model.model.layers[0].mlp.parameters())


def test_the_loss_is_bradley_and_terrys_by_head(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    data = write_folder("pairs", [pair(310, sides=(side(tool_use=0.5), side(tool_use=1.0)))])
    trainer = trainer_of(config_of(tmp_path, tiny_folder, data, held_out=0.0, batch_size=1, center=0.1))
    (batch,) = [trainer.data_collator([row]) for row in trainer.train_dataset]
    chosen, rejected = trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.tolist()
    overall = -math.log(1 / (1 + math.exp(rejected[0] - chosen[0]))) + 0.1 * (chosen[0] + rejected[0]) ** 2
    tools = -math.log(1 / (1 + math.exp(chosen[1] - rejected[1]))) + 0.1 * (chosen[1] + rejected[1]) ** 2
    expected = (overall + 0.5 * tools) / 1.5
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected, rel=1e-5)


def test_a_step_in_several_passes_is_the_same_step(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    rows = [pair(task, sides=DONE_OR_NOT if task % 3 else None) for task in range(310, 318)]
    data = write_folder("pairs", rows)
    config = config_of(tmp_path, tiny_folder, data, held_out=0.0, learning_rate=1e-2)
    whole = train_reward(config)
    parts = train_reward(RewardConfig(**{**vars(config), "out": tmp_path / "parts", "run": Run(tokens_at_once=1)}))
    assert [loss for _, loss in parts.losses] == pytest.approx([loss for _, loss in whole.losses], abs=1e-6)
    assert whole.losses[0][1] > whole.losses[-1][1] + 0.01


def test_the_test_split_is_scored_and_not_trained(tmp_path: Path, tiny_folder: Path) -> None:
    from threadmill.training.dataset import write_dataset

    test = [pair(330), pair(331, source="branches"), pair(332, chosen=[5] * 300)]
    data = tmp_path / "pairs"
    write_dataset(data, [pair(task) for task in range(310, 314)], {"kind": "pairs"}, test=test)
    report = train_reward(config_of(tmp_path, tiny_folder, data))
    told = report.config["data"]
    assert (told["rows"], told["without_components"], told["heads"]) == (4, 4, {"overall": 4})
    held_out = told["held_out"]
    assert (held_out["split"], held_out["pairs"], held_out["too_long"]) == ("the data's test split", 2, 1)
    assert {name: found["pairs"] for name, found in held_out["by_source"].items()} == {"branches": 1, "trials": 1}
    assert held_out["heads"]["overall"]["accuracy"].keys() == {"mean", "low", "high"}


def test_the_score_is_read_at_the_end_token_though_it_pads_too(
    tmp_path: Path, tiny_folder: Path, tiny_tokenizer: Any, write_folder: Any
) -> None:
    import shutil
    from copy import deepcopy

    base = shutil.copytree(tiny_folder, tmp_path / "base")
    tokenizer = deepcopy(tiny_tokenizer)
    end = tokenizer.eos_token_id
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(base)
    data = write_folder("pairs", [pair(310, chosen=(310, 311, end), rejected=(310, end))])
    trainer = trainer_of(config_of(tmp_path, base, data, held_out=0.0, batch_size=1))
    (batch,) = [trainer.data_collator([row]) for row in trainer.train_dataset]
    alone = trainer.model(torch.tensor([[300, 301, 310, 310, end]])).logits[0]
    assert trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[1].tolist() == (
        pytest.approx(alone.tolist(), abs=1e-5)
    )
    assert trainer.model.config.pad_token_id != end


def test_what_no_reward_model_can_be_made_of_says_why(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    data = write_folder("pairs", [pair(310, rejected=(310, 311, 312))])
    with pytest.raises(BadDataset, match="no row can be trained on"):
        train_reward(config_of(tmp_path, tiny_folder, data, held_out=0.0))
    with pytest.raises(BadModelFolder, match="'nothing here'"):
        train_reward(config_of(tmp_path, Path("nothing here"), data, held_out=0.0))
