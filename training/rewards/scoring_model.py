"""A causal language model with scores in place of its output layer, and sequences scored by it; imports torch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from ...errors import BadModelFolder


class ScoreLayer(nn.Linear):
    """A linear layer that computes in float32 whatever the rest does: a margin in bfloat16 has three digits."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Hidden states to scores."""
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(input.float(), self.weight.float())


def make_scoring_model(policy: Any, heads: Sequence[str], base: str) -> Any:
    """``policy`` with one score a head in place of its output layer, as transformers' sequence classifiers have it.

    The layer begins as zeros: every first score is 0 and every first loss ln 2, whatever the seed.

    Raises:
        BadModelFolder: transformers has no sequence classifier of this kind that reads the last token.
    """
    config = policy.config
    name_heads(config, heads)
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:
        raise BadModelFolder(
            f"no reward model can be made of {base!r}: transformers has no sequence classifier for "
            f"{config.model_type!r}; take a base such as Llama, Qwen, Mistral or Gemma"
        ) from error
    if not isinstance(getattr(model, "score", None), nn.Linear) or model.base_model_prefix != policy.base_model_prefix:
        raise BadModelFolder(
            f"no reward model can be made of {base!r}: {type(model).__name__} does not score the last token; "
            "take a base such as Llama, Qwen, Mistral or Gemma"
        )
    width, device = model.score.in_features, policy.get_input_embeddings().weight.device
    model.score = ScoreLayer(width, len(heads), bias=False, device=device, dtype=torch.float32)
    nn.init.zeros_(model.score.weight)
    setattr(model, model.base_model_prefix, policy.base_model)
    model.name_or_path = base
    return model.eval()


def name_heads(config: Any, heads: Sequence[str]) -> None:
    """Say in a model's config which scores it gives."""
    config.id2label = dict(enumerate(heads))
    config.label2id = {head: place for place, head in enumerate(heads)}


def heads_of_config(config: Any) -> list[str]:
    """What ``name_heads`` said."""
    return [config.id2label[place] for place in sorted(config.id2label)]


def padding_of(tokenizer: Any, ends: frozenset[int]) -> int:
    """A token that no episode ends with: transformers takes the last token that is no padding for the end.

    Many tokenizers pad with the end-of-turn token, and then the score would be read one token too early.
    """
    candidates = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id, *range(len(tokenizer)))
    return next(token for token in candidates if token is not None and token not in ends)


@torch.inference_mode()
def score_sequences(model: Any, sequences: Sequence[Sequence[int]], *, tokens_at_once: int) -> list[list[float]]:
    """One score a head for each sequence, in their order, read at its last token; long and short ones apart.

    No sequence may be empty.
    """
    found: list[list[float]] = [[]] * len(sequences)
    backbone = getattr(model, model.base_model_prefix)
    device = model.score.weight.device
    order = sorted(range(len(sequences)), key=lambda place: -len(sequences[place]))
    while order:
        rows = max(1, tokens_at_once // len(sequences[order[0]]))
        part, order = order[:rows], order[rows:]
        lengths = torch.tensor([len(sequences[place]) for place in part])
        ids = torch.zeros(len(part), int(lengths[0]), dtype=torch.long)
        for row, place in enumerate(part):
            ids[row, : len(sequences[place])] = torch.tensor(list(sequences[place]))
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        hidden = backbone(ids.to(device), attention_mask=mask.to(device), use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(part), device=device), (lengths - 1).to(device)]
        scored = nn.functional.linear(last.float(), model.score.weight.float())
        for place, scores in zip(part, scored.tolist(), strict=True):
            found[place] = scores
    return found
