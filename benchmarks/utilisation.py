"""How much of the machine's matrix rate training uses: SFT and DPO, all weights and LoRA, on a model of random weights.

Model FLOPs a token as in PaLM (Chowdhery et al. 2022, appendix B): 6 N + 12 L H Q T for all weights; a third less with
LoRA, which needs no gradients of the weights beneath it. The other side of the ratio is a product of large matrices
in the same precision on the same device, measured in the same run. ``--shape qwen3-0.6b --tokens 4096`` is for a GPU.
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from threadmill.training import seed_policy
from threadmill.training.dataset import write_dataset
from threadmill.training.recipes import dpo, sft
from threadmill.training.recipes.harness import quiet
from threadmill.training.recipes.settings import Lora, Run

POLICY = Path(seed_policy.__file__).parent
GOAL = 0.3
"""Of the measured matrix rate, for SFT with all weights."""
STEPS = 6
SKIPPED = 2
"""First steps, in which kernels are chosen and memory is taken."""


@dataclass(frozen=True)
class Shape:
    """The size of a Qwen3 model."""

    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int


SHAPES = {
    "small": Shape(4, 256, 768, 4, 2, 64, 4096),
    "qwen3-0.6b": Shape(28, 1024, 3072, 16, 8, 128, 151_936),
}


def build(shape: Shape, tokens: int, folder: Path) -> int:
    """Write a model of random weights with the seed policy's tokenizer; its weights that multiply."""
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_heads,
            head_dim=shape.head,
            max_position_embeddings=tokens,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)  # embeddings once, as the head


def write_rows(folder: Path, tokens: int, rows: int) -> None:
    """Random rows of full length: a quarter of the tokens is trained."""
    rng = random.Random(0)
    sft_rows: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for _ in range(rows):
        ids = [rng.randrange(1000) for _ in range(tokens)]
        labels = [token if at % 64 < 16 else -100 for at, token in enumerate(ids)]
        sft_rows.append({"input_ids": ids, "labels": labels, "logprobs": [None] * tokens})
        half = tokens // 2
        mask = [int(at % 64 < 16) for at in range(half)]
        other = [rng.randrange(1000) for _ in range(half)]
        pairs.append(
            {
                "prompt_ids": ids[:half],
                "chosen_ids": ids[half:],
                "chosen_mask": mask,
                "rejected_ids": other,
                "rejected_mask": mask,
            }
        )
    write_dataset(folder / "sft", sft_rows, {"kind": "sft", "rows": rows})
    write_dataset(folder / "dpo", pairs, {"kind": "pairs", "rows": rows})


def measure(method: str, rank: int, folder: Path, batch_size: int, flops_a_token: float) -> dict[str, Any]:
    """Train a few steps and say what they took."""
    settings: dict[str, Any] = {
        "data": folder / method,
        "base": str(folder / "model"),
        "out": folder / f"{method}-{rank}",
        "max_steps": STEPS,
        "batch_size": batch_size,
        "lora": Lora(rank=rank),
        "run": Run(save_every=0),
    }
    if method == "sft":
        made = sft.make_trainer(sft.SftConfig(**settings))
    else:
        made = dpo.make_trainer(dpo.DpoConfig(**settings))
    trainer, tokens = made[0], 0
    quiet(trainer)
    ends: list[tuple[float, int]] = []
    inner = trainer.training_step

    def timed(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal tokens
        loss = inner(model, inputs, *args, **kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        tokens += inputs["input_ids"].numel()
        ends.append((perf_counter(), tokens))
        return loss

    trainer.training_step = timed
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    passes = SKIPPED * len(ends) // STEPS
    (began, before), (ended, after) = ends[passes - 1], ends[-1]
    rate = (after - before) / (ended - began)
    needed = flops_a_token * (2 / 3 if rank else 1)
    if method == "dpo":
        needed += flops_a_token / 3  # the reference: forward alone
    return {
        "method": method,
        "weights": f"LoRA {rank}" if rank else "all",
        "tokens_per_s": round(rate),
        "model_tflops": round(rate * needed / 1e12, 4),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if torch.cuda.is_available() else None,
    }


def matrix_rate() -> float:
    """Multiplications and additions a second of large matrices, as training computes them: the best of five."""
    gpu = torch.cuda.is_available()
    size, kind = (8192, torch.bfloat16) if gpu else (1024, torch.float32)
    a = torch.randn(size, size, dtype=kind, device="cuda" if gpu else "cpu")
    best = float("inf")
    for _ in range(5):
        began = perf_counter()
        for _ in range(5):
            a @ a
        if gpu:
            torch.cuda.synchronize()
        best = min(best, (perf_counter() - began) / 5)
    return 2 * size**3 / best


def bench(shape: Shape, name: str, tokens: int, batch_size: int, rank: int) -> dict[str, Any]:
    """The document."""
    peak = matrix_rate()
    with TemporaryDirectory() as place:
        folder = Path(place)
        weights = build(shape, tokens, folder / "model")
        write_rows(folder, tokens, batch_size * STEPS)
        flops = 6 * weights + 12 * shape.layers * shape.heads * shape.head * tokens
        runs = [measure(method, r, folder, batch_size, flops) for method in ("sft", "dpo") for r in (0, rank)]
    for run in runs:
        run["of_matrix_rate"] = round(run["model_tflops"] * 1e12 / peak, 3)
    return {
        "name": "utilisation",
        "ratio": runs[0]["of_matrix_rate"],
        "ratio_of": f"model FLOPs of SFT with all weights over the measured matrix rate, {name}, {tokens} tokens a row",
        "better": "higher",
        "goal": GOAL,
        "met": runs[0]["of_matrix_rate"] >= GOAL,
        "detail": {
            "runs": runs,
            "machine": {
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
                "threads": torch.get_num_threads(),
                "matrix_tflops": round(peak / 1e12, 3),
                "weights": weights,
                "rows_a_step": batch_size,
            },
        },
    }


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--tokens", type=int, default=512, help="Of a row.")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--lora", type=int, default=16, help="Rank.")
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    document = bench(shape, arguments.shape, arguments.tokens, arguments.batch_size, arguments.lora)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
