"""Train the seed policy from scratch: first competence, then the habits of a fallible demonstrator.

Run ``python -m threadmill.training.seed_policy.recipe --out DIR``. A Llama-style model of about a
million parameters learns from right demonstrations until it copies and formats; then, with more of
the tasks in which it must look up, copy names and compare, until it does that too; then from
a demonstrator who errs on purpose, at a rate of its own for each tier (``MISTAKE_RATES``), until it
holds good and bad habits side by side. Muon drives the 2-D weights of the layers, AdamW the rest;
plain AdamW stays on the copying plateau many times longer.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from .demonstrations import Row, as_chat, demonstrations, episode
from .tokenizer import build_tokenizer

MISTAKE_RATES = {"simple": 0.22, "sequential": 0.44, "parallel": 0.5, "complex": 0.6}
"""Share of episodes in which the demonstrator errs, by tier, in the last phase."""
CONTEXT = 16_384
"""Positions that the model accepts. It has learnt from episodes of at most 300 tokens; the rest is room for
training on longer threads."""
FOCUS = ("policy", "cancel_by_email", "cancel_wrong_number", "cancel_dearer")
"""Kinds of tasks that are shown more often in the second phase: what the first one does not teach."""


@dataclass(frozen=True)
class SeedConfig:
    """Everything the recipe can be told."""

    out: Path
    competence_steps: int = 2400
    refine_steps: int = 1300
    habit_steps: int = 500
    batch_size: int = 24
    muon_learning_rate: float = 0.02
    adamw_learning_rate: float = 0.003
    mistake_rates: Mapping[str, float] = field(default_factory=lambda: dict(MISTAKE_RATES))
    seed: int = 0


class _Demonstrations(IterableDataset[Row]):
    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        start: int,
        rates: Mapping[str, float],
        seed: int,
        focus: Sequence[str],
        again_rate: float,
    ):
        self.arguments = (tokenizer, start, rates, seed, focus, again_rate)

    def __iter__(self) -> Iterator[Row]:
        tokenizer, start, rates, seed, focus, again_rate = self.arguments
        return demonstrations(
            tokenizer, start=start, mistake_rates=rates, seed=seed, focus=focus, again_rate=again_rate
        )


def build_model(tokenizer: Any, seed: int) -> LlamaForCausalLM:
    """The untrained model: 4 layers of width 128, embeddings tied."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, its merges learnt from a few hundred demonstrations."""
    corpus = [f"<|im_start|>{role}\n" for role in ("system", "user", "assistant", "tool")] * 100
    for index in range(100):
        for tier in MISTAKE_RATES:
            for mistake in (False, True):
                corpus += [
                    str(message["content"]) for message in as_chat(episode(tier, index, mistake=mistake, seed=index))
                ]
    return build_tokenizer(corpus)


def collate(rows: list[Row], pad: int) -> dict[str, torch.Tensor]:
    """Right-padded ``input_ids``, ``attention_mask`` and ``labels``, each (rows, longest)."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), -100)
    attention = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        length = len(row.ids)
        ids[i, :length] = torch.tensor(row.ids)
        attention[i, :length] = 1
        labels[i, :length] = torch.tensor(
            [token if mask else -100 for token, mask in zip(row.ids, row.mask, strict=True)]
        )
    return {"input_ids": ids, "attention_mask": attention, "labels": labels}


def train_phase(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    config: SeedConfig,
    *,
    name: str,
    steps: int,
    start: int,
    scale: float,
    rates: Mapping[str, float] | None = None,
    focus: Sequence[str] = (),
    again_rate: float = 0.0,
) -> list[tuple[int, float]]:
    """Train in place for ``steps``; learning rates are the config's times ``scale``, falling to 5 %."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(hidden, lr=config.muon_learning_rate * scale, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=config.adamw_learning_rate * scale, betas=(0.9, 0.95), weight_decay=0.01),
    ]

    def pace(step: int) -> float:
        if step < 30:
            return (step + 1) / 30
        return 1 - 0.95 * max(0.0, (step / steps - 0.4) / 0.6)

    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, pace) for optimizer in optimizers]
    pad: Any = tokenizer.pad_token_id
    loader = DataLoader(
        _Demonstrations(tokenizer, start, rates or {}, config.seed + start, focus, again_rate),
        batch_size=config.batch_size,
        num_workers=1,
        prefetch_factor=8,
        collate_fn=lambda rows: collate(rows, pad),
    )
    losses: list[tuple[int, float]] = []
    began = time.monotonic()
    model.train()
    for step, batch in enumerate(islice(loader, steps)):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        losses.append((step, loss.item()))
        if step % 25 == 24:
            recent = sum(value for _, value in losses[-25:]) / 25
            pace_s = (time.monotonic() - began) / (step + 1)
            print(
                f"{name} {step + 1}/{steps}  loss {recent:.4f}  {pace_s:.2f} s/step",
                file=sys.stderr,
                flush=True,
            )
    return losses


def train_seed_policy(config: SeedConfig) -> None:
    """Train, and save a complete model folder with ``recipe.json`` (settings and losses) in it."""
    tokenizer = make_tokenizer()
    model = build_model(tokenizer, config.seed)
    losses: dict[str, list[tuple[int, float]]] = {}
    losses["competence"] = train_phase(
        model, tokenizer, config, name="competence", steps=config.competence_steps, start=0, scale=1.0
    )
    save(model, tokenizer, config, losses, config.out / "competence")
    losses["refine"] = train_phase(
        model,
        tokenizer,
        config,
        name="refine",
        steps=config.refine_steps,
        start=1_000_000,
        scale=0.6,
        focus=FOCUS,
    )
    save(model, tokenizer, config, losses, config.out / "refine")
    losses["habits"] = train_phase(
        model,
        tokenizer,
        config,
        name="habits",
        steps=config.habit_steps,
        start=2_000_000,
        scale=0.4,
        rates=config.mistake_rates,
        again_rate=0.3,
    )
    save(model, tokenizer, config, losses, config.out)


def save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    config: SeedConfig,
    losses: Mapping[str, list[tuple[int, float]]],
    out: Path,
) -> None:
    """Write weights, tokenizer, template and the recipe's record."""
    out.mkdir(parents=True, exist_ok=True)
    model.eval()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    every = {name: curve[::25] for name, curve in losses.items()}
    record = {"config": {**asdict(config), "out": out.name}, "losses": every}
    (out / "recipe.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--competence-steps", type=int, default=SeedConfig.competence_steps)
    parser.add_argument("--refine-steps", type=int, default=SeedConfig.refine_steps)
    parser.add_argument("--habit-steps", type=int, default=SeedConfig.habit_steps)
    given = parser.parse_args()
    train_seed_policy(
        SeedConfig(
            out=given.out,
            seed=given.seed,
            competence_steps=given.competence_steps,
            refine_steps=given.refine_steps,
            habit_steps=given.habit_steps,
        )
    )


if __name__ == "__main__":
    main()
