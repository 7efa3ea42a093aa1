"""A tokenizer whose tokens are letters, and threads whose messages say exactly what a test gives them."""

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.graphs.state import AgentState
from threadmill.nodes.models.trace import Trace, write_trace
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<|im_start|>"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
LETTER = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
END_OF_TURN, START_OF_TURN = 256, 257


def letter_tokenizer():
    """Every byte is a token, and the two markers are."""
    bpe = Tokenizer(models.BPE(LETTER, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(["<|im_end|>", "<|im_start|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|im_end|>")
    made.chat_template = TEMPLATE
    return made


def ids(text):
    return tuple(LETTER[letter] for letter in text.replace(" ", "Ġ"))


def spoken(name, prompt, sampled, **metadata):
    trace = Trace(
        version="a.think@0001",
        prompt_ids=ids(prompt),
        sampled_ids=ids(sampled),
        logprobs=tuple(-0.5 for _ in sampled),
        human=metadata.pop("human", ()),
    )
    return AIMessage(sampled, id=name, response_metadata={"trace": write_trace(trace), **metadata})


def graph_of(store):
    """A graph whose only node says what it is told to: threads are written message by message."""
    graph = StateGraph(AgentState)
    graph.add_node("say", lambda state: {})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph.compile(checkpointer=store.saver)


def write_thread(store, thread, messages, *, task=None, success=None):
    """One superstep a message; labelled with ``success`` if given."""
    config = {"configurable": {"thread_id": thread}, "metadata": {"agent": "a"}}
    if task:
        config["metadata"]["task"] = task
    graph = graph_of(store)
    for message in messages:
        graph.invoke({"messages": [message]}, config, durability="sync")
    if success is not None:
        labels = [Label(thread, None, None, kind, float(success), "check") for kind in ("reward", "success")]
        add_labels(store, labels)
