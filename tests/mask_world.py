"""A model whose logits show what hidden states hide, and an episode with everything in it that is not trained."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM

TOKENS, WIDTH = 24, 32

# fmt: off
PROMPT = [2, 3, 4]
#         sampled   | tool | human's edit | tool | sampled
TOLD   = [10, 11, 12, 5, 6,  13, 14,        7, 8,  15, 16]
MASK   = [ 1,  1,  1, 0, 0,   1,  1,        0, 0,   1,  1]
#         sampled   | human's edit | tool | sampled
OTHER      = [17, 18, 19, 20,        9,     21]
OTHER_MASK = [ 1,  1,  1,  1,        0,      1]
# fmt: on


def predicted_by(mask: Sequence[int], prompt: int = len(PROMPT), width: int = 0) -> list[int]:
    """The positions that predict the marked tokens of a completion: one earlier; the first token has none.

    >>> predicted_by([1, 0, 1], prompt=2)
    [0, 1, 0, 1, 0]
    """
    whole = [0] * prompt + list(mask)
    return whole[1:] + [0] * (1 + max(0, width - len(whole)))


def write_model(folder: Path, tokenizer: Any) -> Path:
    """A model folder with fewer tokens than the hidden state has numbers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    own = deepcopy(tokenizer)
    own.pad_token, own.eos_token = own.convert_ids_to_tokens([0, 1])
    own.save_pretrained(folder)
    return folder


class Gradient(NamedTuple):
    """What the loss does to the logits."""

    loss: float
    logits: torch.Tensor
    """(rows, positions, tokens)"""

    @property
    def positions(self) -> list[list[int]]:
        """1 where any logit of the position has a gradient that is not exactly zero."""
        return (self.logits != 0).any(-1).int().tolist()


def gradient_of(trainer: Any, batch: dict[str, Any]) -> Gradient:
    """The gradient at the logits of the policy.

    TRL's losses multiply states by the output layer tile by tile and never hold the logits. But the layer has
    fewer tokens than a state has numbers, so the gradient at a state, d = g W, has exactly one g: all zeros where d
    is, and otherwise not.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    states: list[torch.Tensor] = []

    def keep(module: Any, args: Any, output: torch.Tensor) -> None:
        if output.requires_grad:  # not the reference's, nor those of KTO's KL term
            output.retain_grad()
            states.append(output)

    model.zero_grad()
    hook = model.get_decoder().norm.register_forward_hook(keep)
    try:
        loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
    finally:
        hook.remove()
    (state,) = states
    assert state.grad is not None
    layer = model.get_output_embeddings().weight.detach()
    return Gradient(float(loss.detach()), state.grad @ torch.linalg.pinv(layer))
