"""The diagrams in docs/agents.md have the nodes and edges of the graphs, and its Python runs."""

import re
from pathlib import Path
from typing import Any

import pytest
from threadmill.graphs import build_ask, build_plan_execute, build_rag, build_react, build_reflexion, build_supervisor
from threadmill.graphs.reflexion import Evaluation
from threadmill.nodes import ScriptedModel, Slot

PAGE = (Path(__file__).parent.parent / "docs" / "agents.md").read_text(encoding="utf-8")
DRAWN = dict(re.findall(r"^%% ([^\n]+)\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def slot(node: str) -> Slot:
    return Slot.fixed(f"a.{node}", ScriptedModel([]), f"a.{node}@0001")


def inside(graph: Any, node: str) -> Any:
    return graph.builder.nodes[node].runnable


PLAN_EXECUTE = build_plan_execute(slot("plan"), slot("execute"), []).compile()
REFLEXION = build_reflexion(slot("trial"), slot("reflect"), [], lambda state: Evaluation(True)).compile()
GRAPHS = {
    "react": build_react(slot("think"), []).compile(),
    "plan_execute": PLAN_EXECUTE,
    "reflexion": REFLEXION,
    "rag": build_rag(slot("think"), []).compile(),
    "rag with a judge": build_rag(slot("think"), [], judge=slot("judge")).compile(),
    "ask": build_ask(slot("think"), []).compile(),
    "supervisor": build_supervisor(
        slot("think"), {name: build_react(slot(name), []) for name in ("billing", "stock")}
    ).compile(),
    "a conversation": inside(PLAN_EXECUTE, "execute"),
    "a question": inside(REFLEXION, "reflect"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_diagram_shows_the_graph(name: str) -> None:
    drawn = set(re.findall(r"^ +(\w+) (-->|-\.->)(?:\|[^|]+\|)? (\w+)$", DRAWN[name], re.MULTILINE))
    edges = GRAPHS[name].get_graph().edges
    assert drawn == {(edge.source, "-.->" if edge.conditional else "-->", edge.target) for edge in edges}


def test_the_python_about_agents_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile("\n".join(blocks), "agents.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        *("Tea costs 3 and cake 4.", "7", "2", "1"),
        *("grounded ", "ungrounded says 95, which is not in [tea.md#1]"),
    ]
