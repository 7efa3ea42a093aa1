"""The invariants of rows: exact ids, reproducible logprobs, no gradient where masked, each token once."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.trace import Trace, read_trace, write_trace
from threadmill.training.branches import Branch, Outcome
from threadmill.training.rows import sft_rows
from threadmill.training.trajectory import read_trajectory
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% for call in m.tool_calls or [] %}"
    '<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "</tool_call>{% endfor %}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    """Every byte is a token, and the two markers are."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({letter: at for at, letter in enumerate(alphabet)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(["<|im_end|>", "<|im_start|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="module")
def policy(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config).eval()


def branch(messages, leaf="leaf"):
    trajectories = tuple(read_trajectory(messages))
    return Branch("t", leaf, None, tuple(messages), "recorded", trajectories, Outcome(True, 1.0, "check"))


class Simulation:
    """Grows a tree of branches as a runtime would, and writes down what the model saw in every call."""

    def __init__(self):
        self.calls = 0
        self.tokens = 0

    def fresh(self, count):
        """Tokens that nobody has seen: every one is found again without doubt."""
        self.tokens += count
        return tuple(range(self.tokens - count, self.tokens))

    def step(self, state, added, sampled, edited, restart):
        messages, row, written = state
        human = ((0, len(written)),) if written and not restart else ()
        prompt = (*written, *self.fresh(added))
        base = () if restart else row
        if restart:
            prompt = (*row, *prompt)
        self.calls += 1
        ids = self.fresh(sampled)
        trace = Trace(
            version="a.think@0001",
            prompt_ids=prompt,
            sampled_ids=ids,
            logprobs=tuple(-0.25 for _ in ids),
            human=human,
            restart=restart and bool(row),
            before=len(base),
        )
        metadata = {"trace": write_trace(trace)}
        if edited:
            metadata["edit"] = {"by": "ann", "at": "", "proposal": {}}
        message = AIMessage("", id=f"m{self.calls}", response_metadata=metadata)
        row = base + prompt
        return [*messages, message], row if edited else row + ids, self.fresh(2) if edited else ()


steps = st.lists(
    st.tuples(
        st.integers(1, 4),  # tokens added to the prompt
        st.integers(1, 4),  # tokens sampled
        st.booleans(),  # a human replaces the proposal
        st.sampled_from([False, False, False, True]),  # restart
        st.sampled_from([None, None, 0, 1, 2]),  # fork: go on from that earlier message
    ),
    min_size=1,
    max_size=12,
)


def grow(plan):
    """All branches of a thread that runs ``plan``: messages and the row that the model would see next."""
    simulation = Simulation()
    states = [([], (), ())]
    leaves = []
    for added, sampled, edited, restart, fork in plan:
        at = states[-1]
        if fork is not None and fork < len(states) - 1:
            leaves.append(at)
            states = states[: fork + 1]
            at = states[-1]
        states.append(simulation.step(at, added, sampled, edited, restart))
    return [*leaves, states[-1]]


@given(steps)
@settings(deadline=None)
def test_the_spans_joined_are_the_ids_that_the_model_saw_and_sampled(plan):
    for messages, seen, _ in grow(plan):
        assert tuple(read_trajectory(messages)[-1].ids()) == seen


@given(steps)
@settings(deadline=None)
def test_every_eligible_sampled_token_is_in_exactly_one_row(plan):
    branches = [messages for messages, _, _ in grow(plan)]
    spoken = {message.id: message for messages in branches for message in messages}
    eligible = Counter(
        token
        for message in spoken.values()
        if "edit" not in message.response_metadata
        for token in read_trace(message).sampled_ids
    )
    written = Counter(
        token
        for message in spoken.values()
        for low, high in read_trace(message).human
        for token in read_trace(message).prompt_ids[low:high]
    )
    rows, _ = sft_rows(branch(messages, f"c{at}") for at, messages in enumerate(branches))
    trained = Counter(label for row in rows for label in row["labels"] if label != -100)
    assert {t: n for t, n in trained.items() if t not in written} == eligible
    assert set(trained) - set(eligible) == set(written)


def converse(model):
    """Three sampled turns with a tool result and another user turn in between, and one edited proposal."""
    messages = [HumanMessage("hello", id="h1")]
    messages.append(model.invoke(messages, seed=1).model_copy(update={"id": "a1"}))
    messages.append(HumanMessage("ünd?", id="h2"))
    proposal = model.invoke(messages, seed=2)
    edit = {"edit": {"by": "ann", "at": "", "proposal": {}}}
    call = {"name": "refund", "args": {"amount": 5}, "id": "c1"}
    messages.append(AIMessage("", id="a2", tool_calls=[call], response_metadata={**proposal.response_metadata, **edit}))
    messages.append(ToolMessage("done", tool_call_id="c1", id="r1"))
    messages.append(model.invoke(messages, seed=3).model_copy(update={"id": "a3"}))
    return messages


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_row_scored_again_gives_its_logprobs(policy, tokenizer, temperature):
    model = LocalChatModel.from_model(
        policy, tokenizer, version="a.think@0001", temperature=temperature, max_new_tokens=12
    )
    messages = converse(model)
    model.close()
    (row,), _ = sft_rows([branch(messages)])
    ids = torch.tensor([row["input_ids"]])
    with torch.no_grad():
        scores = (policy(input_ids=ids).logits[0] / temperature).log_softmax(-1)
    recorded = [(at, value) for at, value in enumerate(row["logprobs"]) if value is not None]
    assert len(recorded) == sum(len(read_trace(messages[at]).sampled_ids) for at in (1, 5))
    for at, value in recorded:
        assert scores[at - 1, ids[0, at]].item() == pytest.approx(value, abs=1e-4)
    human = tokenizer.decode([i for i, n in zip(row["labels"], row["logprobs"], strict=True) if i >= 0 and n is None])
    assert human == '<tool_call>{"name": "refund", "arguments": {"amount": 5}}</tool_call><|im_end|>'


def test_masked_positions_carry_no_gradient(policy, tokenizer):
    model = LocalChatModel.from_model(policy, tokenizer, version="a.think@0001", max_new_tokens=8)
    messages = converse(model)
    model.close()
    (row,), _ = sft_rows([branch(messages)])
    logits = policy(input_ids=torch.tensor([row["input_ids"]])).logits
    logits.retain_grad()
    labels = torch.tensor([row["labels"]])
    policy.loss_function(logits=logits, labels=labels, vocab_size=policy.config.vocab_size).backward()
    policy.zero_grad()
    norms = logits.grad[0].abs().sum(-1)
    trained = [label != -100 for label in row["labels"][1:]] + [False]
    assert [bool(norm > 0) for norm in norms] == trained
    assert 0 < sum(trained) < len(trained)
