"""Plain LangGraph agents, as other people write them: each ``write_…`` runs some and leaves their threads in a saver.

Nothing of ours is imported, so that what lies in the database is what LangGraph and LangChain alone put there.
Every function takes one of LangGraph's own savers, set up, and returns the ids of its threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field

Saver = BaseCheckpointSaver[Any]
Script = Mapping[str, Sequence[AIMessage]]


class FakeChat(BaseChatModel):
    """Looks up what the user said last, and gives the reply that is next after what it has said since."""

    script: Script

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = max(i for i, message in enumerate(messages) if message.type == "human")
        said = sum(message.type == "ai" for message in messages[asked:])
        reply = self.script[messages[asked].text][said].model_copy(deep=True)
        return ChatResult(generations=[ChatGeneration(message=reply)])

    @property
    def _llm_type(self) -> str:
        return "fake"


def call(id_: str, name: str, **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args, id=id_, type="tool_call")


def calls(*proposed: ToolCall, text: str = "") -> AIMessage:
    return AIMessage(text, tool_calls=list(proposed))


def at(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def says(text: str) -> Any:
    return {"messages": [{"role": "user", "content": text}]}


@tool
def look_up(order: str) -> str:
    """Look up an order."""
    if order == "O9":
        raise ValueError("no order O9")
    return f"{order} is shipped"


@tool
def refund(order: str, amount: int) -> str:
    """Pay money back."""
    return f"refunded {amount} for {order}"


@tool
def send_email(to: str, text: str) -> str:
    """Send an email."""
    return f"sent to {to}"


TOOLS = [look_up, refund, send_email]


def write_plain(saver: Saver) -> list[str]:
    """A hand-written loop over ``MessagesState`` with ``ToolNode``: turns, failing calls, forks, removed messages."""
    model = FakeChat(
        script={
            "Where are O1 and O2?": (
                calls(call("p1", "look_up", order="O1"), call("p2", "look_up", order="O2"), text="Let me see."),
                AIMessage("Both are shipped."),
            ),
            "And O9?": (calls(call("p3", "look_up", order="O9")), AIMessage("I cannot find O9.")),
            "And O3?": (calls(call("p6", "look_up", order="O3")), AIMessage("O3 is shipped.")),
            "Find O4.": (
                calls(call("p4", "lookup", order="O4")),
                calls(call("p5", "look_up", number=4)),
                AIMessage("I cannot."),
            ),
            "Thanks.": (AIMessage("You are welcome."),),
            "Forget it all.": (AIMessage("Forgotten."),),
        }
    )

    def chatbot(state: MessagesState) -> dict[str, Any]:
        if state["messages"][-1].text == "Forget it all.":
            old = [RemoveMessage(id=message.id or "") for message in state["messages"][:-1]]
            return {"messages": [*old, model.invoke(state["messages"])]}
        return {"messages": model.invoke(state["messages"])}

    building = StateGraph(MessagesState)
    building.add_node("chatbot", chatbot)
    building.add_node("tools", ToolNode(TOOLS, handle_tool_errors=True))
    building.add_edge(START, "chatbot")
    building.add_conditional_edges("chatbot", tools_condition)
    building.add_edge("tools", "chatbot")
    graph = building.compile(checkpointer=saver)

    for text in ("Where are O1 and O2?", "And O9?", "Find O4.", "Thanks."):
        graph.invoke(says(text), at("plain"))

    for text in ("Where are O1 and O2?", "And O9?"):
        graph.invoke(says(text), at("plain-edited"))
    asked = _where(graph, "plain-edited", "And O9?")
    question = asked.values["messages"][-1]
    edited = graph.update_state(asked.config, {"messages": [HumanMessage("And O3?", id=question.id)]})
    graph.invoke(None, edited)

    for text in ("Where are O1 and O2?", "And O9?"):
        graph.invoke(says(text), at("plain-forked"))
    answered = _where(graph, "plain-forked", "Both are shipped.")
    graph.invoke(says("Thanks."), answered.config)
    graph.invoke(None, _where(graph, "plain-forked", "And O9?").config)

    for text in ("Where are O1 and O2?", "Forget it all."):
        graph.invoke(says(text), at("plain-forgotten"))
    return ["plain", "plain-edited", "plain-forked", "plain-forgotten"]


def write_create_agent(saver: Saver) -> list[str]:
    """LangChain's ``create_agent`` with tools, two turns, parallel calls that run as tasks of their own."""
    model = FakeChat(
        script={
            "Where are O1 and O2?": (
                calls(call("a1", "look_up", order="O1"), call("a2", "look_up", order="O2")),
                AIMessage("Both are shipped."),
            ),
            "Pay O1 back.": (
                calls(call("a3", "refund", order="O1")),
                calls(call("a4", "pay", order="O1")),
                calls(call("a5", "refund", order="O1", amount=20)),
                AIMessage("Done."),
            ),
        }
    )
    agent = create_agent(model, TOOLS, system_prompt="You help.", checkpointer=saver, name="shop")
    for text in ("Where are O1 and O2?", "Pay O1 back."):
        agent.invoke(says(text), at("agent"))
    return ["agent"]


APPROVE = {"type": "approve"}
REJECT = {"type": "reject"}


def edit(name: str, **args: Any) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": name, "args": args}}


def respond(text: str) -> dict[str, Any]:
    return {"type": "respond", "message": text}


def write_hitl(saver: Saver) -> list[str]:
    """``HumanInTheLoopMiddleware`` in both of its modes: every decision, several calls, paused and broken threads."""
    one = "Pay O1 back."
    several = "Pay O1 and O2 back, look up O3 and write to Ann."
    model = FakeChat(
        script={
            one: (calls(call("h1", "refund", order="O1", amount=900), text="I pay."), AIMessage("That is settled.")),
            several: (
                calls(
                    call("h1", "refund", order="O1", amount=900),
                    call("h2", "refund", order="O2", amount=30),
                    call("h3", "look_up", order="O3"),
                    call("h4", "send_email", to="ann", text="Hi."),
                ),
                AIMessage("All is settled."),
            ),
        }
    )
    gates: Any = {"refund": True, "send_email": {"allowed_decisions": ["approve", "reject"]}}
    agent = create_agent(model, TOOLS, middleware=[HumanInTheLoopMiddleware(interrupt_on=gates)], checkpointer=saver)

    def ask(thread: str, text: str, *decisions: dict[str, Any]) -> None:
        agent.invoke(says(text), at(thread))
        if decisions:
            agent.invoke(Command(resume={"decisions": list(decisions)}), at(thread))

    ask("hitl-approve", one, APPROVE)
    ask("hitl-edit", one, edit("refund", order="O1", amount=20))
    ask("hitl-edit-tool", one, edit("look_up", order="O1"))
    ask("hitl-reject", one, {**REJECT, "message": "Too much."})
    ask("hitl-reject-bare", one, REJECT)
    ask("hitl-respond", one, respond("I paid it by hand."))
    ask("hitl-several", several, APPROVE, edit("refund", order="O2", amount=3), {**REJECT, "message": "No."})
    ask("hitl-paused", several)
    for decision in (edit("refund", order="O1", amount=20), REJECT):
        ask("hitl-two", one, decision)
    agent.invoke(says(one), at("hitl-abandoned"))
    ask("hitl-abandoned", one, APPROVE)
    ask("hitl-again", one, APPROVE)
    paused = next(found for found in agent.get_state_history(at("hitl-again")) if found.interrupts)
    agent.invoke(None, paused.config)
    agent.invoke(Command(resume={"decisions": [edit("refund", order="O1", amount=20)]}), at("hitl-again"))

    agent.invoke(says(one), at("hitl-mistaken"))
    try:
        agent.invoke(Command(resume={"decisions": []}), at("hitl-mistaken"))
    except ValueError:  # the wrong answer stays stored: only a fork can be answered rightly
        agent.invoke(None, agent.get_state(at("hitl-mistaken")).config)
        agent.invoke(Command(resume={"decisions": [REJECT]}), at("hitl-mistaken"))
    agent.invoke(says(one), at("hitl-exit"), durability="exit")
    edited = edit("refund", order="O1", amount=20)
    agent.invoke(Command(resume={"decisions": [edited]}), at("hitl-exit"), durability="exit")

    careful = create_agent(
        model,
        TOOLS,
        middleware=[HumanInTheLoopMiddleware(interrupt_on=gates, interrupt_mode="per_call")],
        checkpointer=saver,
    )
    answers = {"h1": edited, "h2": respond("I paid it by hand."), "h4": {**REJECT, "message": "No."}}
    for thread, answered in (("hitl-each", ("h1", "h2", "h4")), ("hitl-each-paused", ("h2",))):
        careful.invoke(says(several), at(thread))
        asked = {found.value["tool_call_id"]: found.id for found in careful.get_state(at(thread)).interrupts}
        careful.invoke(Command(resume={asked[id_]: answers[id_] for id_ in answered}), at(thread))
    decisions = ("approve", "edit", "edit-tool", "reject", "reject-bare", "respond", "several", "paused", "two")
    odd = ("abandoned", "again", "mistaken", "exit", "each", "each-paused")
    return [f"hitl-{name}" for name in (*decisions, *odd)]


def write_subgraphs(saver: Saver) -> list[str]:
    """A supervisor with workers inside: as a node, as a tool, with a memory of its own, and asking from within."""
    model = FakeChat(
        script={
            "Where is O1?": (calls(call("s1", "look_up", order="O1")), AIMessage("O1 is shipped.")),
            "Pay O1 back.": (calls(call("s2", "refund", order="O1", amount=900)), AIMessage("That is settled.")),
            "Ask the clerk.": (calls(call("s3", "ask_clerk", question="Where is O1?")), AIMessage("It is on its way.")),
        }
    )
    gated = [HumanInTheLoopMiddleware(interrupt_on={"refund": True})]

    def supervise(worker: Any) -> Any:
        building = StateGraph(MessagesState)
        building.add_node("triage", lambda state: {"messages": [AIMessage("The worker will see to it.")]})
        building.add_node("worker", worker)
        building.add_edge(START, "triage")
        building.add_edge("triage", "worker")
        building.add_edge("worker", END)
        return building.compile(checkpointer=saver)

    # The triage speaks after the user, so the worker's first reply is the second of its script.
    worker_model = FakeChat(script={text: (AIMessage(""), *replies) for text, replies in model.script.items()})
    nodes = supervise(create_agent(worker_model, TOOLS, middleware=gated))
    nodes.invoke(says("Where is O1?"), at("subgraph"))
    nodes.invoke(says("Pay O1 back."), at("subgraph-paused"))
    nodes.invoke(says("Pay O1 back."), at("subgraph-answered"))
    nodes.invoke(Command(resume={"decisions": [edit("refund", order="O1", amount=20)]}), at("subgraph-answered"))

    remembering = supervise(create_agent(worker_model, TOOLS, checkpointer=True))
    for text in ("Where is O1?", "Pay O1 back."):
        remembering.invoke(says(text), at("subgraph-remembers"))

    clerk = create_agent(model, TOOLS)

    @tool
    def ask_clerk(question: str) -> str:
        """Ask the clerk."""
        return clerk.invoke(says(question))["messages"][-1].text

    create_agent(model, [ask_clerk], checkpointer=saver).invoke(says("Ask the clerk."), at("subgraph-tool"))

    def decide(state: MessagesState) -> dict[str, Any]:
        first = interrupt("Which order?")
        second = interrupt({"why": "How much?"})
        return {"messages": [AIMessage(f"{second} for {first}.")]}

    asking = StateGraph(MessagesState)
    asking.add_node("decide", decide)
    asking.add_edge(START, "decide")
    plain = asking.compile(checkpointer=saver)
    plain.invoke(says("Pay back."), at("asks-twice"))
    for answer in ("O1", 20):
        plain.invoke(Command(resume=answer), at("asks-twice"))
    names = ("subgraph", "subgraph-paused", "subgraph-answered", "subgraph-remembers", "subgraph-tool")
    return [*names, "asks-twice"]


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@dataclass
class Customer:
    name: str
    orders: list[str]


class Ticket(BaseModel):
    """What the customer wants."""

    title: str
    urgent: bool = Field(default=False)


def _latest(old: Any, new: Any) -> Any:
    return new


class OwnState(MessagesState):
    customer: Customer
    ticket: Ticket
    mood: Mood
    seen: Annotated[set[str], _latest]


def write_own_types(saver: Saver) -> list[str]:
    """The user's own classes in channels, structured answers, and messages whose content is a list of blocks."""
    spoken = AIMessage(
        [
            {"type": "reasoning", "reasoning": "A picture of a parcel."},
            {"type": "text", "text": "It is "},
            {"type": "text", "text": "broken."},
        ]
    )

    def look(state: OwnState) -> dict[str, Any]:
        ticket = Ticket(title="broken parcel", urgent=True)
        return {"messages": [spoken], "ticket": ticket, "mood": Mood.BAD, "seen": {"O1", "O2"}}

    building = StateGraph(OwnState)
    building.add_node("look", look)
    building.add_edge(START, "look")
    graph = building.compile(checkpointer=saver)
    picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    seen = HumanMessage([{"type": "text", "text": "What is this?"}, picture])
    begun: Any = {"messages": [seen], "customer": Customer("Ann", ["O1"])}
    graph.invoke(begun, at("own-types"))

    structured = calls(call("t1", "Ticket", title="late", urgent=False))
    agent = create_agent(
        FakeChat(script={"O1 is late.": (structured,)}), TOOLS, response_format=Ticket, checkpointer=saver
    )
    agent.invoke(says("O1 is late."), at("own-answer"))
    return ["own-types", "own-answer"]


def write_all(saver: Saver) -> list[str]:
    """The threads of all of them."""
    writers = (write_plain, write_create_agent, write_hitl, write_subgraphs, write_own_types)
    return [thread for write in writers for thread in write(saver)]


def _where(graph: Any, thread: str, text: str) -> Any:
    """The oldest state of the thread whose last message says ``text``."""
    states = list(graph.get_state_history(at(thread)))
    return next(
        state
        for state in reversed(states)
        if state.values.get("messages") and state.values["messages"][-1].text == text
    )
