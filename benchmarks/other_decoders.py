"""What transformers itself offers to decode for many callers, behind the interface of our decode thread.

Both do our job: sampled ids, each with its logprob over the full vocabulary at the sampling temperature, and the
same stop tokens. What else a caller may ask of our decode thread (a grammar, top-k, stop texts) they don't do.
`Recorded` decodes nothing; it answers at once what was answered before, which leaves the time of everything around a
decoder.
"""

import itertools
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch
from threadmill.nodes.models.decoding.request import Sampled
from transformers import ContinuousBatchingConfig, GenerationConfig

NEVER = -1
"""The stop token where there is none: transformers would take the model's own in place of nothing."""


class OneAtATime:
    """`generate`, one request after the other."""

    def __init__(self, model: Any, end_ids: frozenset[int]) -> None:
        self.model = model
        self.end_ids = end_ids
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="generate")

    def submit(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int, **_: Any
    ) -> "Future[Sampled]":
        """Queue one request; temperature 0 is greedy, its logprobs at temperature 1."""
        return self._pool.submit(self._generate, prompt, max_new_tokens, temperature, seed)

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._pool.shutdown()

    @torch.inference_mode()
    def _generate(self, prompt: Sequence[int], budget: int, temperature: float, seed: int) -> Sampled:
        torch.manual_seed(seed)
        ids = torch.tensor([list(prompt)], device=self.model.device)
        made = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings(
                self.end_ids, temperature, max_new_tokens=budget, return_dict_in_generate=True, output_scores=True
            ),
        )
        sampled = made.sequences[0, len(prompt) :]
        logprobs = torch.log_softmax(torch.stack(made.scores)[:, 0].float(), -1).gather(1, sampled[:, None])[:, 0]
        return finished(sampled.tolist(), logprobs.tolist(), self.end_ids)


class ContinuousBatching:
    """The continuous batching manager, for requests of one temperature.

    Its seed is the manager's, not a request's: who is decoded together changes what is sampled.
    """

    def __init__(
        self,
        model: Any,
        end_ids: frozenset[int],
        *,
        temperature: float = 1.0,
        num_blocks: int | None = 1024,
        page_size: int = 16,
        max_batch_tokens: int | None = 256,
        scheduler: str = "fifo",
    ) -> None:
        self.end_ids = end_ids
        self.temperature = temperature
        self._lock = threading.Lock()
        self._futures: dict[str, Future[Sampled]] = {}
        self._names = itertools.count()
        self._manager = model.init_continuous_batching(
            generation_config=settings(end_ids, temperature),
            continuous_batching_config=ContinuousBatchingConfig(
                num_blocks=num_blocks,
                page_size=page_size,
                max_batch_tokens=max_batch_tokens,
                scheduler_type=scheduler,
                return_logprobs=True,
                seed=0,
            ),
        )
        self._manager.warmup()
        self._manager.start()
        self._collector = threading.Thread(target=self._collect, daemon=True, name="collect")
        self._collector.start()

    def submit(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int, **_: Any
    ) -> "Future[Sampled]":
        """Queue one request."""
        assert temperature == self.temperature, "the manager has one temperature"
        future: Future[Sampled] = Future()
        with self._lock:
            self._futures[name := str(next(self._names))] = future
        self._manager.add_request(list(prompt), request_id=name, max_new_tokens=max_new_tokens)
        return future

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._manager.stop(block=True)
        self._collector.join()
        self._manager.destroy()

    def _collect(self) -> None:
        while (result := self._manager.get_result(timeout=0.1)) is not None or self._manager.is_running():
            if result is None:
                continue
            future = self._futures.pop(result.request_id)
            with suppress(InvalidStateError):  # the caller gave up
                if result.error is not None:
                    future.set_exception(RuntimeError(result.error))
                else:
                    future.set_result(finished(result.generated_tokens, result.logprobs, self.end_ids))
        for future in self._futures.values():
            future.set_exception(RuntimeError("the continuous batching manager ended"))


class Recorded:
    """Answers at once, from (prompt, seed) to what was sampled then."""

    def __init__(self, answers: Mapping[tuple[tuple[int, ...], int], Sampled]) -> None:
        self.answers = answers

    def submit(self, prompt: Sequence[int], *, seed: int, **_: Any) -> "Future[Sampled]":
        """The recorded answer."""
        future: Future[Sampled] = Future()
        future.set_result(self.answers[tuple(prompt), seed])
        return future

    def close(self) -> None:
        """Nothing to stop."""


def settings(end_ids: Collection[int], temperature: float, **others: Any) -> GenerationConfig:
    """Sampling from the full distribution, which transformers' own default (the 50 likeliest) is not."""
    if temperature:
        others |= {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    return GenerationConfig(eos_token_id=sorted(end_ids) or [NEVER], pad_token_id=0, **others)


def finished(ids: Sequence[int], logprobs: Sequence[float], end_ids: frozenset[int]) -> Sampled:
    """The record of an answer."""
    return Sampled(tuple(ids), tuple(logprobs), "stop" if ids[-1] in end_ids else "length")
