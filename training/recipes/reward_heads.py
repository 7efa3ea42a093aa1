"""TRL's reward trainer for a model of several heads, on comparisons that are tokens already; imports torch and TRL."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from ..rewards.compared import OVERALL, Compared
from ..rewards.scoring_model import heads_of_config, name_heads


class ComparisonCollator(DataCollatorForPreference):
    """Pads as TRL does; ``better`` has a row for each comparison and a column for each head: 1, -1, or 0: unknown."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch: chosen episodes first, rejected ones after them."""
        batch = super().torch_call(examples)
        batch["better"] = torch.tensor([example["better"] for example in examples], dtype=torch.float)
        return batch


class HeadsRewardTrainer(RewardTrainer):
    """Reward modelling with several heads on rows that are tokens already.

    A step's loss is the mean over everything that its comparisons tell, each head's telling of a comparison being one
    thing: ``overall`` counts 1, a component ``component_weight``. It is the same in one pass and in many.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, *, model: Any, component_weight: float, center: float, **kwargs: Any) -> None:
        self.heads = heads_of_config(model.config)
        model.config.num_labels = 1  # TRL refuses more: its own loss reads one, ours reads all
        super().__init__(model=model, **kwargs)
        name_heads(model.config, self.heads)
        self.center = center
        self.weights = torch.tensor([1.0 if head == OVERALL else component_weight for head in self.heads])

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["chosen_ids", "rejected_ids", "better"]

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """The weight of all that a step's passes tell, as a mean over the processes, whose gradients are averaged."""
        told = sum((batch["better"].abs().cpu() @ self.weights).sum() for batch in batch_samples)
        told = torch.as_tensor(told, dtype=torch.float).to(device)
        gathered: Any = self.accelerator.gather(told)
        return gathered.mean()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """As Bradley and Terry (1952): -ln sigmoid(better - worse), for each head that can tell."""
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        chosen, rejected = outputs.logits.float().chunk(2)
        better = inputs["better"]
        weights = better.abs() * self.weights.to(better.device)
        margins = better * (chosen - rejected)
        losses = -nn.functional.logsigmoid(margins)
        losses = losses + self.center * (chosen + rejected) ** 2
        told = weights.sum() if num_items_in_batch is None else num_items_in_batch
        loss = (losses * weights).sum() / told
        self._note(inputs["attention_mask"], margins.detach(), better, chosen.detach())
        return (loss, outputs) if return_outputs else loss

    def _note(self, attended: torch.Tensor, margins: torch.Tensor, better: torch.Tensor, chosen: torch.Tensor) -> None:
        """What is logged: accuracy and margin of ``overall``, and accuracies of the others by name."""
        model: Any = self.model
        mode = "train" if model.training else "eval"
        gather: Any = self.accelerator.gather
        tokens = gather(attended.sum()).sum().item()
        self._total_train_tokens += tokens if mode == "train" else 0
        metrics = self._metrics[mode]
        metrics["num_tokens"] = [self._total_train_tokens]
        asked = better != 0
        sums = [asked.sum(0), ((margins > 0) & asked).sum(0), margins.sum(0), (chosen * asked).sum(0)]
        counts, right, margin, scores = gather(torch.stack(sums).double()[None]).sum(0).tolist()
        for head, count, correct, total, score in zip(self.heads, counts, right, margin, scores, strict=True):
            if count:
                kind = "" if head == OVERALL else f"/{head}"
                metrics[f"accuracy{kind}"].append(correct / count)
                metrics[f"margin{kind}"].append(total / count)
                metrics[f"chosen_score{kind}"].append(score / count)


def columns_of(compared: Sequence[Compared], heads: Sequence[str]) -> list[dict[str, Any]]:
    """Rows for the trainer."""
    return [
        {"chosen_ids": one.chosen, "rejected_ids": one.rejected, "better": [one.better.get(head, 0) for head in heads]}
        for one in compared
    ]
