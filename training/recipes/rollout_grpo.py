"""TRL's GRPO trainer on rows of our own: from episodes of the graph or from a data set; imports torch and TRL.

What differs from TRL's: the old log-probabilities are those that were recorded while sampling; advantages come with
the rows, token by token; a generation has as many rows as there is something to learn from, read in passes that fit
into memory. The losses themselves are TRL's. What each loss divides by is made that of the whole generation, so
neither the passes nor rows that were left out for want of a gradient change the step.
"""

import os
import warnings
from collections.abc import Callable
from copy import deepcopy
from itertools import zip_longest
from statistics import fmean, pstdev
from time import perf_counter
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback
from trl.models.utils import prepare_deepspeed, prepare_fsdp
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from .credited import Credited
from .group_rows import GIVEN, GroupRow
from .losses import BY_ROW, is_clipped
from .passes import Batch, cut, lengths_of, pack, share_out
from .ratios import Ratios, joined
from .step_notes import StepNotes

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is marked experimental; we pin TRL

UNKNOWN = -1
"""The step of a sampler that nobody knows."""

Source = Callable[[Any, int], Credited]
"""From the model in training (in ``eval`` mode) and the step to the rows of a generation."""


class RolloutGRPOTrainer(GRPOTrainer):
    """GRPO on the rows of ``source``: each generation of them serves ``minibatches`` times ``iterations`` steps."""

    def __init__(
        self,
        *,
        source: Source,
        notes: StepNotes,
        beta: float,
        minibatches: int,
        iterations: int,
        tokens_at_once: int,
        **kwargs: Any,
    ) -> None:
        self.source = source
        self.notes = notes
        self.minibatches = minibatches
        self.updates = minibatches * iterations
        """Optimiser steps that a generation serves."""
        self.tokens_at_once = tokens_at_once
        all_weights = kwargs.get("peft_config") is None and not hasattr(kwargs["model"], "peft_config")
        reference = deepcopy(kwargs["model"]).requires_grad_(False).eval() if beta and all_weights else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            super().__init__(
                reward_funcs=[episode_reward],
                rollout_func=lambda prompts, _: self._rows_for_trl(),
                **kwargs,
            )
        if reference is not None:
            self._hold(reference, beta)
        self.add_callback(Clock(self))
        self._credited = Credited([], [], 0)
        self._steps: list[list[Batch]] | None = None
        self._scored = torch.empty(0)
        self._update: dict[str, Any] = {}
        self._seconds: dict[str, float] = {}
        self._begun = 0.0

    @property
    def tokens_seen(self) -> int:
        """Tokens that went through the model in training, padding not counted."""
        return sum(note["tokens"] for note in self.notes.of("update"))

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """One optimiser step, in as many passes as its rows need; without rows there is no gradient at all."""
        model.train()
        step = self.state.global_step
        if step % self.updates == 0 or self._steps is None:
            self._steps = self._generation(inputs, step - step % self.updates)
        self._begun = perf_counter()
        passes = self._steps[step % self.minibatches]
        ratios = Ratios()
        total = torch.zeros((), device=self.accelerator.device)
        for ready in passes:
            one = self._prepare_inputs(ready)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, one)
            self.accelerator.backward(loss)
            total += loss.detach()
            self._compare(one, ratios)
        self._update = self._figures(step, passes, ratios)
        return total

    def _prepare_inputs(self, inputs: Any) -> Any:
        """A pass, which is ready as it is."""
        return inputs

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss of one pass, as its part of the step."""
        return super().compute_loss(model, inputs, return_outputs) * inputs["part"]

    def step_is_over(self) -> None:
        """Note the optimiser step; its time holds the optimiser's own."""
        self._seconds["update"] = perf_counter() - self._begun
        seconds = {name: round(value, 4) for name, value in self._seconds.items()}
        self.notes.take("update", **self._update, seconds=seconds)
        self._seconds = {}

    def _generation(self, inputs: Any, step: int) -> list[list[Batch]]:
        """The passes of each step of a generation that begins at ``step``."""
        begun = perf_counter()
        batch = self._generate_and_score_completions(inputs)
        lengths = lengths_of(batch)
        self._tokens = self._tokens_of_step()
        shared_out = [
            pack(lengths, chosen, self.tokens_at_once)
            for chosen in share_out(len(self._credited.rows), self.minibatches, self.args.seed + step)
        ]
        steps = [
            [self._pass(batch, passes[at] if at < len(passes) else [], rows) for at, rows in enumerate(sizes)]
            for passes, sizes in zip(shared_out, self._sizes(shared_out), strict=True)
        ]
        self._seconds["rollout"] = self._credited.played_s
        self._seconds["scoring"] = perf_counter() - begun - self._credited.played_s
        return steps

    def _rows_for_trl(self) -> dict[str, Any]:
        """Ask the source for a generation, and give its tokens as TRL wants them."""
        model: Any = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        try:
            self._credited = self.source(model, self.state.global_step)
        finally:
            model.train(training)
        rows = [one.row for one in self._credited.rows] or [self._empty_row()]
        if self._is_shared:  # they compare figures of equally many rows
            rows += [self._empty_row()] * (max(gather_object([len(rows)])) - len(rows))
        return {
            "prompt_ids": [row.prompt_ids for row in rows],
            "completion_ids": [row.completion_ids for row in rows],
            "logprobs": [row.logprobs for row in rows],
            "env_mask": [row.env_mask for row in rows],
        }

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """As TRL's, but the old logprobs are those of the sampler, and the advantages those of the rows."""
        output = super()._generate_and_score_completions(inputs)
        rows = self._credited.rows
        old = output["old_per_token_logps"] = output["sampling_per_token_logps"]
        output["advantages"] = torch.zeros_like(old)
        output["sampled_at"] = torch.full((len(old),), UNKNOWN, device=old.device)
        for place, one in enumerate(rows):
            output["advantages"][place, : len(one.advantages)] = torch.tensor(one.advantages)
            output["sampled_at"][place] = UNKNOWN if one.sampled_at is None else one.sampled_at
        rewards = self._credited.rewards or [0.0]
        silent = self._credited.noted["groups without variance"] / max(self._credited.noted["groups"], 1)
        for name, value in (
            ("reward", fmean(rewards)),
            ("reward_std", pstdev(rewards)),
            ("frac_reward_zero_std", silent),
            *((f"component/{name}", mean) for name, mean in self._credited.components.items()),
        ):
            self._metrics["train"][name] = [value]  # TRL's own are of the placeholders that it gave rewards to
        return output

    def _sizes(self, steps: list[list[list[int]]]) -> list[list[int]]:
        """How many rows each pass of each step has: in all processes as many, because they compare figures of rows."""
        own = [[len(places) for places in passes] for passes in steps]
        everywhere = gather_object([own]) if self._is_shared else [own]
        return [[max(rows) for rows in zip_longest(*of_step, fillvalue=0)] for of_step in zip(*everywhere, strict=True)]

    def _pass(self, batch: Batch, places: list[int], rows: int) -> Batch:
        """These rows, made up to ``rows`` by some without anything to train, and what part of the step they are."""
        one = cut(batch, places + [0] * (rows - len(places)))
        one["tool_mask"][len(places) :] = 0
        sampled = (one["completion_mask"] * one["tool_mask"]).sum()
        return one | self._weights(rows, sampled)

    def _weights(self, rows: int, sampled: torch.Tensor) -> Batch:
        """``part``: what the loss of a pass is multiplied by. The other is what TRL divides sums over tokens by."""
        tokens = self._tokens
        part = torch.ones_like(tokens)
        if self.loss_type in BY_ROW:
            part = tokens.new_tensor(rows / max(self._credited.episodes / self.minibatches, 1e-9))
        elif self.loss_type == "bnpo":
            part = sampled * self.accelerator.num_processes / tokens
        return {"part": part, "num_items_in_batch": tokens}

    def _tokens_of_step(self) -> torch.Tensor:
        """Sampled tokens that a step stands for, over all processes."""
        own = torch.tensor([max(self._credited.tokens, 1) / self.minibatches], device=self.accelerator.device)
        gathered: Any = self.accelerator.gather(own)
        return gathered.sum()

    def _compare(self, one: Batch, ratios: Ratios) -> None:
        now, then = self._scored, one["old_per_token_logps"]
        clipped = is_clipped(self.loss_type, (now - then).exp(), one["advantages"], self.epsilon_low, self.epsilon_high)
        ratios.add(now, then, one["completion_mask"] * one["tool_mask"], clipped)

    def _get_per_token_logps_and_entropies(self, model: Any, input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if "batch_size" in kwargs:  # TRL would score the reference on all rows of a generation at once
            kwargs["batch_size"] = max(1, self.tokens_at_once // input_ids.size(1))
        found = super()._get_per_token_logps_and_entropies(model, input_ids, *args, **kwargs)
        self._scored = found[0].detach()
        return found

    def _figures(self, step: int, passes: list[Batch], ratios: Ratios) -> dict[str, Any]:
        """What is noted of the step: ratios over all processes, the rest is this one's."""
        about = joined(gather_object([ratios]) if self._is_shared else [ratios]).summary()
        sampled_at = [at for one in passes for at in one["sampled_at"].tolist() if at != UNKNOWN]
        stale = max((step - at for at in sampled_at), default=0)
        for name, value in {**about, "staleness": stale}.items():
            self._metrics["train"][f"ratio/{name}"].append(value)
        return {
            "step": step,
            "rows": sum(len(one["prompt_ids"]) for one in passes),
            "tokens": sum(int(one["prompt_mask"].sum() + one["completion_mask"].sum()) for one in passes),
            "trained_tokens": sum(int((one["completion_mask"] * one["tool_mask"]).sum()) for one in passes),
            "padded_tokens": sum(one["prompt_ids"].numel() + one["completion_ids"].numel() for one in passes),
            "ratio": about,
            "staleness": stale,
        }

    def _hold(self, reference: Any, beta: float) -> None:
        """Compare with ``reference``; TRL would open what ``name_or_path`` says, as it is on disk."""
        add_fused_lm_head(reference, temperature=self.temperature)
        if self.is_deepspeed_enabled:
            self.ref_model = prepare_deepspeed(reference, self.accelerator)
        elif self.is_fsdp_enabled:
            self.ref_model = prepare_fsdp(reference, self.accelerator)
        else:
            self.ref_model = self.accelerator.prepare_model(reference, evaluation_mode=True)
        self.beta = beta

    @property
    def _is_shared(self) -> bool:
        return self.accelerator.num_processes > 1

    def _empty_row(self) -> GroupRow:
        """A row without anything to train, where there must be one."""
        end = self.eos_token_ids[0]
        return GroupRow([end], [end], [0], [0.0], [GIVEN])


class Clock(TrainerCallback):
    """Tells the trainer that its run begins, and when a step is over."""

    def __init__(self, trainer: RolloutGRPOTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on from what an earlier part of the run noted."""
        self.trainer.notes.go_on_from(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let the source look at what was learnt, if the run came to its end."""
        finish = getattr(self.trainer.source, "finish", None)
        if finish is not None and state.global_step >= state.max_steps:
            model: Any = self.trainer.accelerator.unwrap_model(self.trainer.model).eval()
            finish(model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note the step."""
        self.trainer.step_is_over()


def episode_reward(*, prompts: list[str], **_: Any) -> list[float | None]:
    """What TRL asks for; rewards and advantages come with the rows."""
    return [0.0] * len(prompts)
