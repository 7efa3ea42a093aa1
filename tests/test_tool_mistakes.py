"""What somebody who gives tools and settings wrongly is told, when the agent is built and not when it runs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from threadmill.errors import BadApproval, BadConfig, BadTool, BadTraits, ThreadmillError
from threadmill.graphs import build_react
from threadmill.nodes import Approval, Limits, Rule, ScriptedModel, Slot, with_traits
from threadmill.nodes.tools import make_file_tools

SLOT = Slot.fixed("desk.think", ScriptedModel([]), "v1")
ONE_RULE: Any = Rule("look")
A_DICT: Any = [{"tool": "look"}]


def look(order: str) -> str:
    """Look an order up."""
    return order


def silent(order: str) -> str:
    return order


def given_any(*orders: str, **more: str) -> str:
    """Look orders up."""
    return str((orders, more))


def in_parts(order: str) -> Iterator[str]:
    """Look an order up."""
    yield order


def react(slot: Any = SLOT, **settings: Any) -> Callable[[], object]:
    return lambda: build_react(slot, **{"tools": [look], **settings})


def calling(make: Any, **settings: Any) -> Callable[[], object]:
    return lambda: make(**settings)


def test_two_tools_of_one_name_are_refused(tmp_path: Any):
    both = [*make_file_tools(tmp_path), *make_file_tools(tmp_path)]
    with pytest.raises(BadTool, match=r"called list_files, read_file, search_files; .*'list_files_2'"):
        build_react(SLOT, both)
    other = with_traits(look).model_copy(update={"name": "look_again"})
    assert build_react(SLOT, [look, other])


@pytest.mark.parametrize(
    ("make", "kind", "told"),
    [
        (react(tools=[silent]), BadTool, "the function 'silent' does not say what it is for; give it a docstring"),
        (react(tools=[[look]]), BadTool, r"a list of tools stands where a tool should; spread it: \[\*tools, …\]"),
        (react(tools=look), BadTool, r"the tools are a function, not a list; write \[…\] around it"),
        (react(tools=[object()]), BadTool, "is no tool: give a tool of LangChain's, or a function"),
        (react(ScriptedModel([])), BadConfig, r"a ScriptedModel stands where a slot should; give Slot.fixed\("),
        (calling(with_traits, tool=look, trusted="no"), BadTraits, "trusted is 'no'; give True or False"),
        (
            react(tools=[given_any]),
            BadTool,
            r"takes \*orders: str, \*\*more: str, and the model gives each argument by",
        ),
        (
            react(tools=[len]),
            BadTool,
            r"'len' takes obj, and the model gives each argument by its name; write them out",
        ),
        (react(tools=[in_parts]), BadTool, "'in_parts' yields, so that nobody would run it; return a list"),
        (react(timeout_s=float("inf")), BadConfig, "timeout_s is inf; give seconds above 0, or None to wait for ever"),
        (calling(with_traits, tool=look, timeout_s=1e10), BadTraits, "timeout_s is 10000000000.0; give seconds"),
        (calling(with_traits, tool=look, timeout_s="5"), BadTraits, "timeout_s is '5'; give seconds, or None"),
        (calling(Limits, steps="5"), BadConfig, "the limit steps is '5'; give a number from 0 on"),
        (react(max_chars=0), BadConfig, "max_chars is 0; give a whole number from 1 on, or None for all"),
        (react(timeout_s=0), BadConfig, "timeout_s is 0; give seconds above 0, or None to wait for ever"),
        (react(timeout_s="5"), BadConfig, "timeout_s is '5'; give seconds"),
        (react(first="think"), BadConfig, "first is 'think'; it is 'plan' or 'reflect'"),
        (react(approval=Approval(ONE_RULE)), BadApproval, r"rules is Rule\(.*; write Rule\(tool, …\) for each"),
        (react(approval=Approval(A_DICT)), BadApproval, r"write Rule\(tool, …\) for each, in a list"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(make: Callable[[], object], kind: type[ThreadmillError], told: str):
    with pytest.raises(kind, match=told):
        make()
