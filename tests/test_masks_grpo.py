"""Masks hold in GRPO, for every loss: no gradient at the logits that predict what the policy did not sample.

Position t predicts token t + 1. Here a human's edit is given too: it has no logprob of the policy's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_world import MASK, OTHER, OTHER_MASK, PROMPT, TOLD, gradient_of, predicted_by, write_model
from threadmill.training.recipes.losses import Loss

# fmt: off
#           sampled   | tool | human's edit | tool | sampled
SAMPLED = [ 1,  1,  1, 0, 0,   0,  0,        0, 0,   1,  1]
#                 sampled| human's| tool | sampled
OTHER_SAMPLED = [ 1,  1,   0, 0,    0,     1]
# fmt: on


@pytest.fixture
def trainer(tmp_path: Path, tiny_tokenizer: Any) -> Any:
    """TRL's trainer, holding to a reference, with rows that the tests give it."""
    from datasets import Dataset
    from threadmill.training.recipes.adapters import open_base
    from threadmill.training.recipes.credited import Credited
    from threadmill.training.recipes.rollout_grpo import RolloutGRPOTrainer
    from threadmill.training.recipes.settings import Lora
    from threadmill.training.recipes.step_notes import StepNotes
    from trl.trainer.grpo_config import GRPOConfig

    policy = open_base(str(write_model(tmp_path / "base", tiny_tokenizer)), Lora())
    made = RolloutGRPOTrainer(
        model=policy.model,
        args=GRPOConfig(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=2,
            num_generations=2,
            temperature=1.0,
            bf16=False,
            use_cpu=True,
            activation_checkpointing=False,
            report_to=[],
        ),
        beta=0.1,
        minibatches=1,
        iterations=1,
        tokens_at_once=1000,
        source=lambda model, step: Credited([], [], 0),
        notes=StepNotes(tmp_path / "steps.jsonl"),
        train_dataset=Dataset.from_list([{"prompt": "played"}]),
        processing_class=policy.tokenizer,
        peft_config=None,
    )
    made.current_gradient_accumulation_steps = 1  # set by train() otherwise
    return made


def play(trainer: Any, mask: Sequence[int], other: Sequence[int], advantages: tuple[float, float] = (1.0, -1.0)) -> Any:
    """One pass over the two episodes, as the trainer makes it; every token has an advantage, given ones too."""
    from threadmill.training.recipes.credited import Credited, TrainedRow
    from threadmill.training.recipes.group_rows import GroupRow

    rows = []
    for ids, sampled, advantage in ((TOLD, mask, advantages[0]), (OTHER, other, advantages[1])):
        # recorded by slightly other weights, and 0 where nothing was sampled
        exact = logprobs_of(trainer.model, ids)
        recorded = [logprob - 0.05 if bit else 0.0 for logprob, bit in zip(exact, sampled, strict=True)]
        turns = [0 if bit else -1 for bit in sampled]
        rows.append(TrainedRow(GroupRow(PROMPT, ids, list(sampled), recorded, turns), [advantage] * len(ids)))
    trainer.source = lambda model, step: Credited(rows, [1.0, 0.0], sum(mask) + sum(other))
    ((one,),) = trainer._generation(next(iter(trainer.get_train_dataloader())), 0)
    return one


@torch.no_grad()
def logprobs_of(model: Any, ids: list[int]) -> list[float]:
    """Of the tokens after the prompt."""
    said = model(input_ids=torch.tensor([PROMPT + ids])).logits.log_softmax(-1)[0]
    return [float(said[len(PROMPT) + i - 1, token]) for i, token in enumerate(ids)]


SHORT_FIRST = [predicted_by(OTHER_SAMPLED, width=14), predicted_by(SAMPLED)]


def test_what_the_policy_sampled_is_predicted_one_position_earlier() -> None:
    # fmt: off
    #         prompt     sampled     tool  human   tool  sampled
    ids   = [ 2,  3,  4, 10, 11, 12, 5, 6, 13, 14, 7, 8, 15, 16]
    where = [ 0,  0,  1,  1,  1,  0, 0, 0,  0,  0, 0, 1,  1,  0]
    # fmt: on
    assert (PROMPT + TOLD, predicted_by(SAMPLED)) == (ids, where)


def test_every_loss_with_and_without_a_reference(trainer: Any) -> None:
    one = play(trainer, SAMPLED, OTHER_SAMPLED)
    for loss in get_args(Loss):
        for level in ("token", "sequence"):
            for beta in (0.0, 0.1):
                trainer.loss_type, trainer.importance_sampling_level, trainer.beta = loss, level, beta
                found = gradient_of(trainer, one)
                assert (loss, level, beta, found.positions) == (loss, level, beta, SHORT_FIRST)


def test_rows_that_are_masked_for_being_off_policy_have_no_gradient_at_all(trainer: Any) -> None:
    one = play(trainer, SAMPLED, OTHER_SAMPLED)
    trainer.beta = 0.0
    trainer.off_policy_mask_threshold = 0.01
    one["sampling_per_token_logps"] = one["old_per_token_logps"] + 1  # the sampler is far away
    nothing = [0] * 14
    assert gradient_of(trainer, one).positions == [nothing, predicted_by(SAMPLED)]  # only bad episodes are masked


def test_every_bit_of_a_mask_decides_about_its_own_position(trainer: Any) -> None:
    def some_mask(length: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, 1), min_size=length, max_size=length)

    @settings(max_examples=10, deadline=None)
    @given(some_mask(11), some_mask(6), st.sampled_from(get_args(Loss)))
    def check(mask: list[int], other: list[int], loss: str) -> None:
        trainer.loss_type = loss
        found = gradient_of(trainer, play(trainer, mask, other))
        assert found.positions == [predicted_by(other, width=14), predicted_by(mask)]

    check()


def test_offline_grpo_trains_what_was_sampled_and_not_what_a_human_wrote(
    tmp_path: Path, tiny_tokenizer: Any, write_folder: Any
) -> None:
    from threadmill.training.recipes.offline_grpo import OfflineGrpoConfig, make_trainer
    from threadmill.training.recipes.settings import Run
    from transformers import LlamaForCausalLM

    base = write_model(tmp_path / "base", tiny_tokenizer)
    model = LlamaForCausalLM.from_pretrained(base)

    def recorded(thread: str, ids: list[int], mask: list[int], sampled: list[int], reward: float) -> dict[str, Any]:
        logprobs = [value if bit else None for value, bit in zip(logprobs_of(model, ids), sampled, strict=True)]
        return {
            "group": "g",
            "thread": thread,
            "input_ids": PROMPT + ids,
            "mask": [0] * len(PROMPT) + mask,
            "logprobs": [None] * len(PROMPT) + logprobs,
            "prompt_length": len(PROMPT),
            "reward": reward,
            "sampling": {"temperature": 1.0},
        }

    rows = [recorded("won", TOLD, MASK, SAMPLED, 1.0), recorded("lost", OTHER, OTHER_MASK, OTHER_SAMPLED, 0.0)]
    config = OfflineGrpoConfig(write_folder("groups", rows), str(base), tmp_path / "out", run=Run(save_every=0))
    made, _, data = make_trainer(config)
    made.current_gradient_accumulation_steps = 1
    ((one,),) = made._generation(next(iter(made.get_train_dataloader())), 0)
    assert gradient_of(made, one).positions == SHORT_FIRST
    assert data["tokens of humans, not trained"] == 2 + 2
