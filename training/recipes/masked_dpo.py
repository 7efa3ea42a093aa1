"""TRL's DPO trainer on pre-tokenised pairs with a mask for every token; imports torch and TRL."""

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer


class MaskedPreferenceCollator(DataCollatorForPreference):
    """Pads pairs as TRL does, and marks only the tokens that ``chosen_mask`` and ``rejected_mask`` mark."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch: chosen rows first, rejected rows after them, each (2 × rows, longest)."""
        batch = super().torch_call(examples)
        marks = [example["chosen_mask"] for example in examples]
        marks += [example["rejected_mask"] for example in examples]
        starts = [len(example["prompt_ids"]) for example in examples] * 2
        batch["completion_mask"] = mark_tokens(batch["attention_mask"], starts, marks)
        return batch


def mark_tokens(attention: torch.Tensor, starts: Sequence[int], marks: Sequence[Sequence[int]]) -> torch.Tensor:
    """The marks of each row where its completion starts, in the shape of ``attention``.

    Padding and what was cut off stay unmarked, and so does a row's first token: no position predicts it, but some
    losses count the marked tokens.
    """
    mask = torch.zeros_like(attention)
    for row, (start, mark) in enumerate(zip(starts, marks, strict=True)):
        kept = list(mark)[: max(0, mask.shape[1] - start)]
        mask[row, start : start + len(kept)] = torch.tensor(kept, dtype=mask.dtype)
    mask[:, :1] = 0
    return mask * attention


class MaskedDPOTrainer(DPOTrainer):
    """DPO on rows that are tokens already."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = [
            *("prompt_ids", "chosen_ids", "chosen_mask", "rejected_ids", "rejected_mask"),
            *("ref_chosen_logps", "ref_rejected_logps"),  # if they were computed before training
        ]
