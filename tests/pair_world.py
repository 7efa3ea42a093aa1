"""Branches for tests of pairs: messages that carry the tokens they saw and sampled."""

from langchain_core.messages import AIMessage, ToolMessage
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.branches import Branch, Outcome
from threadmill.training.trajectory import read_trajectory

CALL = {"name": "refund", "args": {}, "id": "c"}
UNKNOWN = Outcome()


def spoken(name, prompt, sampled, *, text="", human=(), edited=False, restart=False, calls=(), settings=None):
    """A turn that saw the tokens ``prompt`` after what came before it, and sampled ``sampled``."""
    trace = Trace(
        version="a.think@0001",
        prompt_ids=tuple(prompt),
        sampled_ids=tuple(sampled),
        logprobs=tuple(-0.5 for _ in sampled),
        human=human,
        restart=restart,
        settings=settings or {},
    )
    edit = {"edit": {"by": "ann", "at": "", "proposal": {}}} if edited else {}
    metadata = {"trace": write_trace(trace), **edit}
    return AIMessage(text, id=name, tool_calls=list(calls), response_metadata=metadata)


def result(kind="result"):
    """What became of ``CALL``."""
    return ToolMessage("7", tool_call_id="c", additional_kwargs={"kind": kind})


def branch(thread, *messages, outcome=UNKNOWN, leaf="leaf", task="task-1", **more):
    """A branch of recorded tokens; every turn is one of the node ``think``."""
    nodes = {message.id: "think" for message in messages if isinstance(message, AIMessage)}
    trajectories = tuple(read_trajectory(messages))
    about = {"agent": "shop", "nodes": nodes, **more}
    return Branch(thread, leaf, task, tuple(messages), "recorded", trajectories, outcome, **about)


def won(reward=1.0):
    """A success."""
    return Outcome(success=True, reward=reward, source="check")


def lost(reward=0.0):
    """A failure."""
    return Outcome(success=False, reward=reward, source="check")


def sides(row):
    """Prompt, then each side with its mask, as aligned rows."""
    return [
        row["prompt_ids"],
        row["chosen_ids"],
        row["chosen_mask"],
        row["rejected_ids"],
        row["rejected_mask"],
    ]
