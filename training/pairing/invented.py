"""An observation that the model invented against the real call that another run made at the same place.

Pure. An observation is invented if the text of a turn *without any call* holds a block in the form of a tool's
result: a marker of ``RESULT_FORMS`` with something behind it. Claims in plain words are not looked for: whether they
are true cannot be read off a thread. The real call is a turn that follows exactly the same tokens, in a sibling
branch or in another trial, and whose calls were all valid and all answered.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from langchain_core.messages import AIMessage

from ..branches import Branch
from ..trajectory import Span
from ..turns import Segment, split_turns
from .sources import Comparison, is_invalid, is_run, repaired_turns, turns_with_results

RESULT_FORMS = re.compile(
    r"""(?: ^[ \t]*Observation(?:[ ]?\d+)?:             # ReAct as text
        | <tool_(?:response|result|output)s?>           # Hermes, Qwen, GLM
        | <function_(?:response|result|output)s?>
        | \[/?TOOL_RESULTS\]                            # Mistral
        | <[|｜]tool[_▁](?:response|result|output)s?(?:[_▁]begin)?[|｜]>  # DeepSeek, LFM2
        | <\|im_start\|>\s*tool\b                       # ChatML
        | <\|start_header_id\|>\s*(?:tool|ipython)\s*<\|end_header_id\|>  # Llama
        | ^[ \t]*role[ ]?:[ ]?tool\b
        | "role"[ ]?:[ ]?"tool"
        )\s*[^\s<]""",
    re.VERBOSE | re.MULTILINE,
)


class _Turn(NamedTuple):
    branch: Branch
    prefix: Sequence[Span]
    segment: Segment


def invents_observation(message: AIMessage) -> bool:
    """Does the message tell a tool's result without having called anything?

    >>> invents_observation(AIMessage("Let me look.\\nObservation: order 7 is paid"))
    True
    >>> invents_observation(AIMessage("My observation: this is late."))
    False
    """
    if message.tool_calls or message.invalid_tool_calls:
        return False
    return RESULT_FORMS.search(message.text) is not None


def invented_observations(branches: Sequence[Branch]) -> Iterator[Comparison]:
    """The real call against each invented observation, among branches of one thread or trials of one task."""
    inventing = {id(branch): _inventing(branch) for branch in branches}
    if not any(inventing.values()):
        return
    real: dict[bytes, _Turn] = {}
    invented: list[tuple[bytes, _Turn]] = []
    for branch in branches:
        calling = _calling(branch)
        for place, turn in _turns(branch):
            if turn.segment.message in inventing[id(branch)]:
                invented.append((place, turn))
            elif turn.segment.message in calling:
                real.setdefault(place, turn)
    for place, turn in invented:
        if place in real:
            call = real[place]
            why = f"message {turn.segment.message} invented what message {call.segment.message} asked a tool for"
            sides = call.segment.spans, turn.segment.spans
            yield Comparison("invented", turn.prefix, *sides, (call.branch, turn.branch), why)


def _turns(branch: Branch) -> Iterator[tuple[bytes, _Turn]]:
    """Every turn with a digest of the tokens in front of it."""
    for trajectory in branch.trajectories:
        seen = blake2b(branch.tokens.encode(), digest_size=16)
        for segment in split_turns(trajectory.spans):
            if segment.is_turn:
                yield seen.digest(), _Turn(branch, trajectory.spans[: segment.start], segment)
            seen.update(array("q", segment.tokens).tobytes())


def _inventing(branch: Branch) -> set[str]:
    return {
        message.id
        for message in branch.messages
        if message.id and isinstance(message, AIMessage) and invents_observation(message)
    }


def _calling(branch: Branch) -> set[str]:
    """Messages whose calls were all run, or answered in the tool's place."""
    mended = repaired_turns(branch)
    return {
        message.id
        for message, results in turns_with_results(branch.messages)
        if message.id
        and message.tool_calls
        and not is_invalid(message, results)
        and {call["id"] for call in message.tool_calls} <= {result.tool_call_id for result in results}
        and is_run(results)
        and message.id not in mended
    }
