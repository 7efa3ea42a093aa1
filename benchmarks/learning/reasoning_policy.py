"""A policy small enough for learning curves in the world ``reasoning``: tokenizer, model and first training.

The seed policy of the package has never seen these questions, and its tokenizer cuts them into letters: 190 tokens an
episode, of which a fine-tuning of some minutes does not teach it to copy a number. This policy has the same form, and
is made from the same pieces, but the fixed parts of the questions, the animals and the numbers up to 100 are tokens.
It is trained from nothing on an endless stream of demonstrations of the fallible expert, all on training items.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from threadmill.training.seed_policy.demonstrations import Row
from threadmill.training.seed_policy.recipe import collate
from threadmill.training.slots import SEED_POLICY
from threadmill.training.worlds.reasoning.calculator import calculator
from threadmill.training.worlds.reasoning.expert import make_expert
from threadmill.training.worlds.reasoning.prompt import SYSTEM
from threadmill.training.worlds.reasoning.tasks import Task, make_tasks
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<|im_end|>", "<|im_start|>", "<|pad|>")
QUESTIONS = (
    "State the final answer to the following arithmetic problem: ",
    "Solve the following multiplication: ",
    ". Give only the result as your final answer.",
    "Calculate ",
    "Find the Greatest Common Divisor (GCD) of these numbers: ",
    ". Give only the GCD as your final answer.",
    "Find the Least Common Multiple (LCM) of these numbers: ",
    "Your task is to count how many legs there are in total when given a list of animals.\n\n"
    "Now, how many legs are there in total if you have ",
    " =",
    "?\n",
)
"""The parts of the questions that never change."""
FRAME = (
    SYSTEM,
    "\nTools: calculator(expression)",
    "system\n",
    "user\n",
    "assistant\n",
    "tool\n",
    '<tool_call>{"name": "calculator", "arguments": {"expression": "',
    '"}}</tool_call>',
    "<answer>",
    "</answer>",
    "It is ",
    "gcd(",
    "lcm(",
)
SIGNS = (" + ", " - ", " * ", ", ", "( ", " )", "-( ")
LARGEST = 100
"""Whole numbers up to here are one token each; larger ones are written digit by digit."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and the tokens named above; the chat template is that of the seed policy."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    animals = [f" {animal}{ending}" for animal in ANIMALS for ending in ("", "s")]
    bpe.add_tokens([AddedToken(text, normalized=False) for text in (*FRAME, *QUESTIONS, *SIGNS, *animals)])
    bpe.add_tokens([AddedToken(str(number), single_word=True, normalized=False) for number in range(LARGEST + 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = (SEED_POLICY / "chat_template.jinja").read_text(encoding="utf-8")
    return tokenizer


def make_model(tokenizer: Any, *, layers: int, width: int, heads: int, seed: int) -> LlamaForCausalLM:
    """The untrained model, of the seed policy's kind."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=width * 11 // 4,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def demonstrate(task: Task, reply: Callable[[list[BaseMessage]], AIMessage]) -> list[BaseMessage]:
    """The messages of one episode of the expert."""
    messages: list[BaseMessage] = [HumanMessage(task.text)]
    while True:
        said = reply(messages)
        messages.append(said)
        if not said.tool_calls:
            return messages
        for call in said.tool_calls:
            messages.append(ToolMessage(calculator.invoke(call["args"]), tool_call_id=call["id"], name=call["name"]))


def rows(
    tokenizer: Any, tiers: Any, mistake_rates: Mapping[str, float], seed: int, *, chunk: int = 600
) -> Iterator[Row]:
    """Endless rows of demonstrations on training tasks, shuffled within chunks."""
    schema = [convert_to_openai_tool(calculator)]
    while True:
        tasks = make_tasks("train", chunk, seed, tiers)
        random.Random(seed).shuffle(tasks)
        reply = make_expert(tasks, mistake_rates, seed)
        for task in tasks:
            out = tokenizer.apply_chat_template(
                as_chat(demonstrate(task, reply)), tools=schema, return_assistant_tokens_mask=True, return_dict=True
            )
            yield Row(list(out["input_ids"]), list(out["assistant_masks"]))
        seed += 1


def as_chat(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages in the form that chat templates take, the system prompt first."""
    roles = {"human": "user", "ai": "assistant", "tool": "tool"}
    chat: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
    for message in messages:
        calls = [
            {"type": "function", "function": {"name": call["name"], "arguments": call["args"]}}
            for call in getattr(message, "tool_calls", [])
        ]
        chat.append({"role": roles[message.type], "content": message.text, **({"tool_calls": calls} if calls else {})})
    return chat


def train_policy(
    out: Path,
    tiers: Any,
    mistake_rates: Mapping[str, float],
    *,
    steps: int,
    seed: int,
    layers: int = 3,
    width: int = 64,
    heads: int = 4,
    batch_size: int = 32,
    muon_learning_rate: float = 0.02,
    adamw_learning_rate: float = 0.003,
    say: Callable[[str], None] = print,
) -> list[tuple[int, float]]:
    """Train a policy from nothing and save its folder; the loss of every 25 steps.

    Muon drives the 2-D weights of the layers and AdamW the rest, as in the recipe of the seed policy.
    """
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, layers=layers, width=width, heads=heads, seed=seed)
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(hidden, lr=muon_learning_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=adamw_learning_rate, betas=(0.9, 0.95), weight_decay=0.01),
    ]

    def pace(step: int) -> float:
        return (step + 1) / 30 if step < 30 else 1 - 0.95 * max(0.0, (step / steps - 0.4) / 0.6)

    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, pace) for optimizer in optimizers]
    pad: Any = tokenizer.pad_token_id
    stream = rows(tokenizer, tiers, mistake_rates, seed=1000 * (seed + 1))
    losses: list[tuple[int, float]] = []
    recent: list[float] = []
    began = time.process_time()
    model.train()
    for step in range(1, steps + 1):
        loss = model(**collate(list(islice(stream, batch_size)), pad)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        recent.append(loss.item())
        if step % 25 == 0:
            losses.append((step, sum(recent) / len(recent)))
            recent.clear()
            say(f"{step}/{steps} loss {losses[-1][1]:.4f}, {time.process_time() - began:.0f} CPU s")
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return losses
