"""What a grammar costs: tokens per second with and without one, and microseconds a token for mask and match.

Tool calls of the helpdesk agent are sampled, 32 answers at once and one at a time, by the seed policy with its small
vocabulary, and by a small model of random weights with 151,936 tokens. The same requests without a grammar get as
many tokens each. Repetitions alternate; a ratio is the median of theirs. Beside it: how long a grammar takes
to compile, once for all answers with the same tools.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from threadmill.nodes.calls import args_schema
from threadmill.nodes.models.decoding.decode import Decoder
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.folder import load_model
from threadmill.nodes.models.grammar import GrammarMaker
from threadmill.training import seed_policy
from threadmill.training.worlds.helpdesk.tools import TOOLS

GOAL = 0.7
"""Of the speed without a grammar, with 32 answers at once."""
LARGE = 151_936
BUDGET = 256
"""The default of a local model."""


class Timed:
    """A constraint that knows what it took."""

    def __init__(self, constraint: Any) -> None:
        self.constraint = constraint
        self.seconds = 0.0
        self.tokens = 0

    def mask_(self, scores: torch.Tensor, left: int) -> None:
        began = perf_counter()
        self.constraint.mask_(scores, left)
        self.seconds += perf_counter() - began
        self.tokens += 1

    def accept(self, token: int) -> None:
        began = perf_counter()
        self.constraint.accept(token)
        self.seconds += perf_counter() - began


def small() -> tuple[Any, Any]:
    """The seed policy and its tokenizer."""
    return load_model(str(Path(seed_policy.__file__).parent), device="cpu")


def large() -> tuple[Any, Any]:
    """A model of random weights, and a tokenizer with made-up words behind the 256 bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    dice = random.Random(0)
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = set(pieces)
    while len(pieces) < LARGE - 300:
        if len(pieces) < 1500:
            piece = "".join(dice.choices('"{}[],:;()<>/\\Ċ-.=_', k=dice.randrange(2, 5)))
        else:
            word = "".join(dice.choices("etaoinshrdlcumwfgypbvk", k=dice.randrange(2, 10)))
            piece = dice.choice([*["", "Ġ"] * 20, "_", ".", '"', "('"]) + (
                word.title() if dice.random() < 0.2 else word
            )
        if piece not in known:
            known.add(piece)
            pieces.append(piece)
    bpe = Tokenizer(models.BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.add_tokens([AddedToken(text, normalized=False) for text in ("<tool_call>", "</tool_call>")])
    bpe.add_special_tokens([AddedToken("<|im_end|>", special=True, normalized=False)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|im_end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=LARGE,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


def tools() -> list[dict[str, Any]]:
    """The helpdesk's tools in OpenAI's form."""
    return [{"type": "function", "function": {"name": tool.name, "parameters": args_schema(tool)}} for tool in TOOLS]


def run(decoder: Decoder, rows: int, lengths: Sequence[int], constraints: Sequence[Any]) -> tuple[float, list[int]]:
    """Tokens per second of these requests, and how many tokens each got. At most ``rows`` are decoded at once."""
    dice = random.Random(1)
    prompts = [[dice.randrange(200) for _ in range(24)] for _ in lengths]
    began = perf_counter()
    got: list[int] = []
    for first in range(0, len(lengths), rows):
        futures = [
            decoder.submit(prompts[i], max_new_tokens=lengths[i], temperature=1.0, seed=i, constraint=constraints[i])
            for i in range(first, min(first + rows, len(lengths)))
        ]
        got += [len(future.result().ids) for future in futures]
    return sum(got) / (perf_counter() - began), got


def measure(name: str, model: Any, tokenizer: Any, repetitions: int) -> list[dict[str, Any]]:
    """One record for many answers at once, and one for one at a time."""
    end_ids = frozenset({tokenizer.eos_token_id})
    size = model.get_output_embeddings().weight.shape[0]
    maker, family, wanted = GrammarMaker(tokenizer, size, end_ids), family_named("hermes"), tools()
    began = perf_counter()
    maker.for_tools(family, wanted, "required")
    compile_s = perf_counter() - began
    began = perf_counter()
    maker.for_tools(family, wanted, "required")
    again_ms = 1e3 * (perf_counter() - began)
    under, without = Decoder(model, end_ids), Decoder(model, frozenset())
    records = []
    for rows in (32, 1):
        count = max(rows, 4)
        ratios, speeds, microseconds = [], [], []
        for _ in range(repetitions):
            timed = [Timed(maker.for_tools(family, wanted, "required")) for _ in range(count)]
            with_it, lengths = run(under, rows, [BUDGET] * count, timed)
            without_it, _ = run(without, rows, lengths, [None] * count)
            ratios.append(with_it / without_it)
            speeds.append((with_it, without_it))
            microseconds.append(1e6 * sum(t.seconds for t in timed) / sum(t.tokens for t in timed))
        records.append(
            {
                "model": name,
                "vocabulary": size,
                "rows": rows,
                "ratio": round(median(ratios), 3),
                "from_to": [round(min(ratios), 3), round(max(ratios), 3)],
                "us_per_token": round(median(microseconds), 1),
                "tokens_per_s": round(median(speed for speed, _ in speeds)),
                "tokens_per_s_without": round(median(speed for _, speed in speeds)),
                "tokens_per_answer": round(sum(lengths) / count, 1),
                "compile_s": round(compile_s, 2),
                "again_ms": round(again_ms, 2),
                "repetitions": repetitions,
            }
        )
    under.close()
    without.close()
    return records


def judge(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The benchmark's document."""
    results = [
        {
            "what": f"tokens per second with a grammar over without, {r['rows']} answers at once, {r['model']}",
            "ratio": r["ratio"],
            "goal": GOAL,
            "better": "higher",
            "met": r["ratio"] >= GOAL,
        }
        for r in records
        if r["rows"] > 1
    ]
    return {
        "name": "constrained",
        "ratio": results[0]["ratio"],
        "ratio_of": results[0]["what"],
        "goal": GOAL,
        "better": "higher",
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "grammars": list(records)},
    }


def show(document: dict[str, Any]) -> None:
    """The table for people."""
    table = Table("model", "vocabulary", "rows", "µs a token", "tokens/s", "without", "ratio", "compile s")
    for r in document["detail"]["grammars"]:
        speeds = (r["us_per_token"], r["tokens_per_s"], r["tokens_per_s_without"], r["ratio"], r["compile_s"])
        table.add_row(r["model"], f"{r['vocabulary']:,}", str(r["rows"]), *map(str, speeds))
    Console().print(table)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    records = []
    for name, open_model in (("seed policy", small), ("random weights", large)):
        model, tokenizer = open_model()
        records += measure(name, model, tokenizer, arguments.repetitions)
    document = judge(records)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
