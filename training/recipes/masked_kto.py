"""TRL's KTO trainer on pre-tokenised rows with a mask for every token; imports torch and TRL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from .masked_dpo import mark_tokens


@dataclass
class MaskedUnpairedCollator(DataCollatorForUnpairedPreference):
    """Pads rows as TRL does, and marks only the tokens that ``completion_mask`` marks.

    For the KL term each prompt is followed by the completion of the row before it in the batch, and that
    completion's mask comes with it. TRL rotates while it prepares the data, which ties the batches to one
    order; here every batch rotates by itself, so that rows can be shuffled anew in each epoch.
    """

    estimates_kl: bool = True

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch, each part (rows, longest); ``KL_…`` are the prompts with the completions of other rows."""
        if self.estimates_kl:
            examples = rotate(examples)
        batch = super().torch_call(examples)
        starts = [len(example["prompt_ids"]) for example in examples]
        for prefix in ("", "KL_") if self.estimates_kl else ("",):
            marks = [example[f"{prefix}completion_mask"] for example in examples]
            batch[f"{prefix}completion_mask"] = mark_tokens(batch[f"{prefix}attention_mask"], starts, marks)
        return batch


def rotate(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each row the completion of the one before it as well, with its mask.

    A row that is alone gets none: without another completion nothing can be estimated, and its KL term is 0.
    """
    others = [*rows[-1:], *rows[:-1]] if len(rows) > 1 else [{"completion_ids": [], "completion_mask": []}]
    return [
        {**row, "KL_completion_ids": other["completion_ids"], "KL_completion_mask": other["completion_mask"]}
        for row, other in zip(rows, others, strict=True)
    ]


class MaskedKTOTrainer(KTOTrainer):
    """KTO on rows that are tokens already."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.args.train_sampling_strategy = "random"  # TRL asks for a fixed order, because it rotates beforehand

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["prompt_ids", "completion_ids", "completion_mask", "label"]
