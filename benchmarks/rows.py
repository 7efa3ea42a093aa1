"""What it costs to train threads of many turns: one row a branch, against one row a model call.

The seed policy talks with itself over so many turns. Ours gives each thread as one row; the other way gives a row for
every call, which holds everything before it again. Both train the same tokens, which is shown by their gradients: the
sums of the losses over all rows, in float64, and their gradients with respect to every weight.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from threadmill.checkpoints import open_store
from threadmill.nodes.models.local import LocalChatModel
from threadmill.training import seed_policy
from threadmill.training.branches import Branch, read_branches
from threadmill.training.rows import IGNORED, sft_rows
from transformers import AutoModelForCausalLM

POLICY = Path(seed_policy.__file__).parent
GOAL = 5.0
"""Tokens of the other way over ours, at 20 turns; with turns of equal length it would be 10.5."""
SAME = 1e-6
"""How far the gradients may be apart, as a part of the largest."""


def make_threads(threads: int, turns: int) -> list[Branch]:
    """Threads of the seed policy, an answer a turn: each turn asks about another order."""
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/runs.db") as store:
        model = LocalChatModel.from_folder(str(POLICY), version="talk.think@0001", max_new_tokens=24, temperature=0.0)
        talk = StateGraph(MessagesState)
        talk.add_node("think", lambda state: {"messages": [model.invoke(state["messages"])]})
        talk.add_edge(START, "think")
        graph = talk.compile(checkpointer=store.saver)
        branches = []
        for thread in range(threads):
            for turn in range(turns):
                asked = HumanMessage(f"What is the status of order O{100 + 7 * thread + turn}?")
                graph.invoke({"messages": [asked]}, {"configurable": {"thread_id": f"t{thread}"}})
            branches += read_branches(store, f"t{thread}", task=None, labels=[], renderer=None)
        model.close()
        return branches


def rows_by_call(branches: Sequence[Branch]) -> list[dict[str, list[int]]]:
    """A row for every turn of the policy: everything before it, and its own tokens as labels."""
    rows = []
    for branch in branches:
        for trajectory in branch.trajectories:
            before: list[int] = []
            for span in trajectory.spans:
                if span.origin != "given":
                    rows.append(
                        {
                            "input_ids": [*before, *span.tokens],
                            "labels": [IGNORED] * len(before) + [*span.tokens],
                        }
                    )
                before += span.tokens
    return rows


def gradients(rows: Sequence[Any]) -> tuple[float, torch.Tensor, float]:
    """The sum of the losses, its gradient with respect to all weights, and the seconds that took."""
    model: Any = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float64)
    began = perf_counter()
    total = 0.0
    for row in rows:
        logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits, torch.tensor(row["labels"][1:]), ignore_index=IGNORED, reduction="sum"
        )
        loss.backward()
        total += loss.item()
    took = perf_counter() - began
    return total, torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]), took


def bench(threads: int, turns: int) -> dict[str, Any]:
    """The document."""
    branches = make_threads(threads, turns)
    ours, left_out = sft_rows(branches)
    assert not left_out, left_out
    others = rows_by_call(branches)
    described = []
    for how, rows in (("one row a branch", ours), ("one row a call", others)):
        loss, gradient, seconds = gradients(rows)
        described.append((how, rows, loss, gradient, seconds))
    (_, _, loss, gradient, _), (_, _, other_loss, other_gradient, _) = described
    apart = float((gradient - other_gradient).abs().max() / other_gradient.abs().max())
    tokens = [sum(len(row["input_ids"]) for row in rows) for _, rows, *_ in described]
    ratio = round(tokens[1] / tokens[0], 2)
    return {
        "name": "rows",
        "ratio": ratio,
        "ratio_of": f"tokens read for one epoch, one row a call over ours, threads of {turns} turns",
        "better": "higher",
        "goal": GOAL,
        "met": ratio >= GOAL and apart <= SAME,
        "detail": {
            "rows": [
                {
                    "how": how,
                    "rows": len(rows),
                    "tokens_a_thread": round(sum(len(row["input_ids"]) for row in rows) / threads),
                    "trained_tokens_a_thread": round(
                        sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in rows) / threads
                    ),
                    "seconds_forward_and_back": round(seconds, 2),
                }
                for how, rows, _, _, seconds in described
            ],
            "same": {
                "threads": threads,
                "turns": turns,
                "loss_ours": round(loss, 6),
                "loss_other": round(other_loss, 6),
                "largest_difference_of_gradients": f"{apart:.1e}",
            },
        },
    }


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=20)
    arguments = parser.parse_args()
    document = bench(arguments.threads, arguments.turns)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
