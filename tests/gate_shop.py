"""A shop whose agent wins the tasks that its version is meant to win: models of known success for the gate."""

from dataclasses import dataclass

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from threadmill.graphs.state import AgentState
from threadmill.training.suites import Judged, last_words

SLOT = "shop.think"
WINS = {
    "0001": {"easy": range(6), "middle": range(6)},
    "0002": {"easy": range(10), "middle": range(10), "hard": range(10), "never": range(10)},
    "0003": {"easy": range(4, 10), "middle": range(4, 10), "never": range(10)},
    "0004": {"never": range(10)},
    "0005": {"middle": range(10), "hard": range(10), "never": range(10)},
    "0006": {"easy": range(10), "middle": range(10), "hard": range(10), "never": range(1, 10)},
}
"""Version to the tasks that it wins, by tier."""


@dataclass(frozen=True)
class ShopTask:
    id: str
    tier: str
    text: str
    split: str
    seed: int


@dataclass(frozen=True)
class Shop:
    tiers: tuple[str, ...]
    name: str
    slots: tuple[str, ...] = (SLOT,)
    crashing: str = ""
    """The version whose agent crashes."""

    def build(self, slots):
        version = slots[SLOT].version_now().rpartition("@")[2]
        wins = WINS.get(version, {})

        def think(state):
            if version == self.crashing:
                raise ValueError("no till")
            tier, index = state["messages"][0].text.split()
            return {"messages": [AIMessage("won" if int(index) % 10 in wins.get(tier, ()) else "lost")]}

        graph = StateGraph(AgentState)
        graph.add_node("think", think)
        graph.add_edge(START, "think")
        graph.add_edge("think", END)
        return graph

    def tasks(self, split, per_tier, seed):
        return [
            ShopTask(f"{split}-{seed}-{tier}-{index}", tier, f"{tier} {index}", split, seed)
            for tier in self.tiers
            for index in range(per_tier)
        ]

    def start(self, task, place):
        return {}

    def review(self, task, question):
        raise AssertionError("nobody is asked")

    def reply(self, task, text):
        return None

    def judge(self, task, place, messages):
        return Judged(int(last_words(messages) == "won"), 1)

    def close(self, place):
        pass

    def needed(self, task):
        return None


def make_suite():
    return Shop(("easy", "middle", "hard"), "shop")


def make_never():
    return Shop(("never",), "never")


def make_crashing():
    return Shop(("easy",), "crashing", crashing="0002")
