"""What the model sees of a thread stays within a budget of tokens; the thread itself keeps everything."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field
from threadmill.errors import BadBudget, CannotRender, ContextOverflow, StillPaused
from threadmill.graphs import build_react, run_thread
from threadmill.graphs.streamed import Stored, Token, stream_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.budget import Budget, room_in
from threadmill.nodes.marking import mark_as_data, unmark
from threadmill.nodes.models.react_chat import ReactChatModel
from threadmill.nodes.observe import make_observe
from threadmill.nodes.token_counts import count_prompt, noted_besides
from threadmill.nodes.traits import with_traits

THREAD: Any = {"configurable": {"thread_id": "t"}}


class WordModel(ScriptedModel):
    """A model whose tokens are words: of the messages, not of the tools."""

    context: int = 10_000
    max_new_tokens: int = 5
    counted: list[int] = Field(default_factory=list)

    def count_tokens(self, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int:
        self.counted.append(sum(len(message.text.split()) for message in messages))
        return self.counted[-1]


def say(words: int, messages: Sequence[BaseMessage]) -> AIMessage:
    return AIMessage(" ".join([f"answer-{sum(m.type == 'human' for m in messages)}", *["…"] * (words - 1)]))


class Desk:
    """An agent of a word model that remembers what it saw, in its own words' first words."""

    def __init__(self, reply: Callable[[list[BaseMessage]], AIMessage], tools: Sequence[Any] = (), **options: Any):
        self.saw: list[list[str]] = []

        def heard(messages: list[BaseMessage]) -> AIMessage:
            self.saw.append([message.text.split()[0] if message.text else "call" for message in messages])
            return reply(messages)

        self.model = WordModel(replies=heard)
        slot = Slot.fixed("a.think", self.model, "v1")
        self.graph = build_react(slot, tools, **options).compile(InMemorySaver())

    def ask(self, *texts: str | HumanMessage) -> None:
        for text in texts:
            run_thread(self.graph, "t", text)

    @property
    def state(self) -> dict[str, Any]:
        return self.graph.get_state(THREAD).values


def test_whole_turns_are_trimmed_from_the_start_and_not_again_at_once():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=12, trim_to=0.6))
    desk.ask("q1", "q2", "q3", "q4", "q5")
    assert desk.saw == [
        ["q1"],
        ["q1", "answer-1", "q2"],
        ["q1", "answer-1", "q2", "answer-2", "q3"],  # 11 words
        ["q3", "answer-3", "q4"],  # 16 words would be too many; 7 are at most 0.6 of 12
        ["q3", "answer-3", "q4", "answer-2", "q5"],  # 11 words again
    ]
    assert len(desk.state["messages"]) == 10
    assert desk.state["context"] == {"start": desk.state["messages"][4].id}


def test_turns_to_keep_are_kept_while_the_budget_holds_them():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=12, trim_to=0.1, keep_turns=2))
    desk.ask("q1", "q2", "q3", "q4")
    assert desk.saw[3] == ["q3", "answer-3", "q4"]


def test_the_system_prompt_counts():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=12), system="Be very kind.")
    desk.ask("q1", "q2", "q3")
    assert desk.saw[2] == ["Be", "q3"]  # 14 words; with the turn before, 9 are more than 0.6 of 12


def test_without_a_number_the_budget_is_what_the_model_reads_less_its_answer():
    desk = Desk(lambda messages: say(4, messages), budget=Budget())
    desk.model.context = 17
    desk.ask("q1", "q2", "q3", "q4")
    assert [len(saw) for saw in desk.saw] == [1, 3, 5, 3]


def look(order: str) -> str:
    """Look an order up."""
    return f"{order} was sent on Monday, and more"


def three_calls(messages: Sequence[BaseMessage]) -> AIMessage:
    """A call for each order, one after the other, whatever of the thread is seen."""
    last = messages[-1]
    order = 1 if last.type == "human" else int(last.text[1]) + 1
    if order > 3:
        return AIMessage("All sent.")
    return AIMessage("", tool_calls=[{"name": "look", "args": {"order": f"A{order}"}, "id": f"c{order}"}])


def test_a_turn_that_is_too_long_loses_whole_rounds_and_keeps_its_question():
    desk = Desk(three_calls, [with_traits(look, acts=False)], budget=Budget(tokens=20))
    desk.ask("Where are they?")
    assert desk.saw == [
        ["Where"],
        ["Where", "call", "A1"],
        ["Where", "call", "A1", "call", "A2"],  # 17 words
        ["Where", "call", "A3"],  # of 24, 10: with A2, 17 are more than 0.6 of 20
    ]
    question, proposed = desk.state["messages"][0], desk.state["messages"][5]
    assert desk.state["context"] == {"start": proposed.id, "pinned": [question.id]}
    desk.ask("Thanks. Where are they now?")
    assert desk.saw[4] == ["Where", "call", "A3", "All", "Thanks."]  # the next turn sees what the last one ended with


def test_a_turn_that_cannot_be_trimmed_says_what_to_raise():
    desk = Desk(three_calls, [with_traits(look, acts=False)], budget=Budget(tokens=9))
    with pytest.raises(ContextOverflow, match=r"the prompt has 10 tokens .* the budget is 9; raise Budget\(tokens=…\)"):
        desk.ask("Where are they?")
    with pytest.raises(ContextOverflow, match="the prompt has 10 tokens"):
        Desk(three_calls, budget=Budget(tokens=9)).ask("1 2 3 4 5 6 7 8 9 10")


def test_nothing_is_counted_far_from_the_limit():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=5000))
    desk.ask("q1", "q2", "q3")
    assert desk.model.counted == []


def test_what_an_answer_cost_is_taken_from_the_answer():
    usage: Any = {"input_tokens": 4000, "output_tokens": 900, "total_tokens": 4900}
    desk = Desk(lambda _: AIMessage("short", usage_metadata=usage), budget=Budget(tokens=5000))
    desk.ask("q1", "q2" + "!" * 200)
    assert desk.model.counted == [2 + 1]  # 4900 and at most 234 more


def test_a_model_without_a_tokenizer_here_is_counted_by_what_its_answers_cost():
    cost = [0]

    def reply(messages: list[BaseMessage]) -> AIMessage:
        cost[0] = 100 * len(messages)
        usage: Any = {"input_tokens": cost[0], "output_tokens": 100, "total_tokens": cost[0] + 100}
        return AIMessage("a reply of twenty-four.", usage_metadata=usage)

    saw: list[int] = []
    slot = Slot.fixed("a.think", ScriptedModel(lambda messages: saw.append(len(messages)) or reply(messages)), "v1")
    graph = build_react(slot, [], budget=Budget(tokens=650, trim_to=0.5)).compile(InMemorySaver())
    for _ in range(5):
        run_thread(graph, "t", "a question of twenty-six.")
    assert saw == [1, 3, 5, 3, 5]


def test_a_model_that_tells_no_limit_has_none():
    slot = Slot.fixed("a.think", ScriptedModel(lambda messages: say(4, messages)), "v1")
    observe = make_observe([slot], budget=Budget())
    messages = [HumanMessage("word " * 100_000, id="h")]
    assert observe({"messages": messages, "versions": {}}, {}) == {"versions": {"a.think": "v1"}}


def summarising(answers: list[str | Exception], requests: list[str]) -> Slot:
    def summarise(messages: list[BaseMessage]) -> AIMessage:
        requests.append(messages[-1].text)
        answer = answers[len(requests) - 1]
        if isinstance(answer, Exception):
            raise answer
        return AIMessage(answer)

    return Slot.fixed("a.summarise", ScriptedModel(summarise), "s1")


def test_what_is_trimmed_is_summarised_and_the_next_summary_goes_on_from_it():
    requests: list[str] = []
    budget = Budget(tokens=60, trim_to=0.5, summarise=summarising(["They met.", "They met twice."], requests))
    desk = Desk(lambda messages: say(8, messages), budget=budget)
    desk.ask(*[f"q{n}" for n in range(1, 10)])
    assert desk.saw[7][1:] == ["q5", "answer-5", "q6", "answer-6", "q7", "answer-7", "q8"]
    assert desk.saw[8][1:] == ["q9"]
    told = desk.state["context"]["summary"]
    assert told.startswith("What was said before, in short:\n[data ")
    assert desk.state["versions"] == {"a.think": "v1", "a.summarise": "s1"}
    assert [line for line in requests[0].splitlines() if "q" in line and "user:" in line] == [
        "user: q1",
        "user: q2",
        "user: q3",
        "user: q4",
    ]
    assert "The minutes so far" not in requests[0]
    assert requests[1].splitlines()[2] == "They met."
    assert "user: q5" in requests[1]
    assert "user: q4" not in requests[1]
    assert unmark(told.partition("\n")[2]) == "They met twice."


def test_the_summary_is_not_streamed_to_the_user():
    desk = Desk(
        lambda messages: say(4, messages),
        budget=Budget(tokens=40, trim_to=0.3, summarise=summarising(["They met."], [])),
    )
    desk.ask(*[f"q{n}" for n in range(1, 9)])
    events = list(stream_thread(desk.graph, "t", "q9"))
    assert "They met." in desk.state["context"]["summary"]
    told = [event.message.text for event in events if isinstance(event, Stored)]
    assert told == [event.text for event in events if isinstance(event, Token)] == ["answer-3 … … …"]


def test_a_summary_that_leaves_no_room_is_left_out():
    requests: list[str] = []
    long = summarising(["word " * 50], requests)
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=12, summarise=long))
    desk.ask("q1", "q2", "q3", "q4")
    assert desk.saw[3] == ["q3", "answer-3", "q4"]
    assert desk.state["context"]["unsummarised"] == "the summary leaves no room for this turn"


def test_without_its_summary_a_thread_is_trimmed_all_the_same_and_says_why():
    desk = Desk(
        lambda messages: say(4, messages),
        budget=Budget(tokens=12, summarise=summarising([ValueError("no server")], [])),
    )
    desk.ask("q1", "q2", "q3", "q4")
    assert desk.saw[3] == ["q3", "answer-3", "q4"]
    context = desk.state["context"]
    assert (context["unsummarised"], "summary" in context) == ("ValueError: no server", False)


def test_a_branch_from_before_the_trim_sees_what_was_seen_there():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=12))
    desk.ask("q1", "q2", "q3", "q4")
    before = next(state for state in desk.graph.get_state_history(THREAD) if len(state.values["messages"]) == 4)
    desk.graph.invoke({"messages": [HumanMessage("other")]}, before.config)
    assert desk.saw[4] == ["q1", "answer-1", "q2", "answer-2", "other"]
    assert "context" not in desk.state


def test_a_thread_whose_first_seen_message_is_gone_is_trimmed_anew():
    slot = Slot.fixed("a.think", WordModel(replies=[]), "v1")
    observe = make_observe([slot], budget=Budget(tokens=4))
    messages = [SystemMessage("Be kind."), HumanMessage("old words", id="h1"), HumanMessage("q", id="h2")]
    messages.insert(2, AIMessage("said", id="a1"))
    update = observe({"messages": messages, "versions": {}, "context": {"start": "gone"}}, {})
    assert update["context"] == {"start": "h2"}


def test_a_budget_that_holds_nothing_is_refused():
    with pytest.raises(BadBudget, match="tokens=0"):
        Budget(tokens=0)
    with pytest.raises(BadBudget, match="trim_to=0"):
        Budget(trim_to=0)
    with pytest.raises(BadBudget, match="keep_turns=0"):
        Budget(keep_turns=0)


def test_a_memory_that_gave_way_is_not_counted_with_the_new_one():
    old, new = (f"What is remembered:\n{mark_as_data(words, 'k', 'memory')}" for words in ("tea " * 50, "milk"))
    noted = {"system": f"Be kind.\n\n{old}"}
    messages = [HumanMessage("q1"), AIMessage("a1", response_metadata=noted), HumanMessage("q2")]
    besides = noted_besides(messages)
    assert count_prompt(WordModel(replies=[]), messages, {"memory": old}, besides) == 2 + 3 + 11 + 50 + 4 + 3
    assert count_prompt(WordModel(replies=[]), messages, {"memory": new}, besides) == 2 + 3 + 11 + 1 + 4 + 3


def test_the_first_prompt_has_its_system_prompt_and_tools_counted():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=8), system="Be very kind.")
    early = [HumanMessage("q1 …"), AIMessage("a1 … …"), HumanMessage("q2 …")]  # 7 words without the system prompt
    desk.graph.invoke({"messages": early}, THREAD)
    assert desk.saw == [["Be", "q2"]]
    with pytest.raises(ContextOverflow, match=r"the prompt has 4 tokens .* the budget is 3"):
        Desk(lambda messages: say(4, messages), budget=Budget(tokens=3), system="Be very kind.").ask("q1")
    guessed = ScriptedModel(lambda messages: say(1, messages))
    graph = build_react(Slot.fixed("a.think", guessed, "v1"), [look], budget=Budget(tokens=20)).compile(InMemorySaver())
    with pytest.raises(ContextOverflow, match=r"the prompt has 5[0-9] tokens"):  # all but 4 are the tool's schema
        run_thread(graph, "t", "q")


def test_what_a_longer_summary_pushes_out_is_in_the_summary_too():
    requests: list[str] = []
    words = summarising(["They met. " + "… " * 10, "They met again. " + "… " * 10], requests)
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=60, trim_to=0.9, summarise=words))
    desk.ask(*[f"q{n}" for n in range(1, 14)])
    told = [[line[6:] for line in request.splitlines() if line.startswith("user:")] for request in requests]
    assert told == [["q1", "q2"], [f"q{n}" for n in range(3, 10)]]
    assert desk.saw[-1] == ["What", "q10", "answer-10", "q11", "answer-11", "q12", "answer-12", "q13"]
    assert "They met again." in desk.state["context"]["summary"]


def test_after_a_question_that_is_too_long_a_shorter_one_can_be_asked():
    desk = Desk(lambda messages: say(4, messages), budget=Budget(tokens=12))
    desk.ask("q1")
    with pytest.raises(ContextOverflow):
        desk.ask("long " * 20)
    desk.ask("q3")
    assert desk.saw == [["q1"], ["q3"]]


def test_a_model_that_cannot_be_asked_is_not_counted_and_another_one_answers():
    class Blind(WordModel):
        def count_tokens(self, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int:
            raise CannotRender("no images")

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise CannotRender("no images")

    def cannot_load(version: str) -> Any:
        raise OSError("no such folder")

    spare = Slot.fixed("a.spare", WordModel(replies=lambda messages: say(1, messages)), "s1")
    for slot in (Slot.fixed("a.think", Blind(replies=[]), "v1"), Slot("a.think", lambda: "v1", cannot_load)):
        graph = build_react(slot, [], fallbacks=[spare], budget=Budget(tokens=5)).compile(InMemorySaver())
        assert run_thread(graph, "t", "A rather long question it is.").answer == "answer-1"


def test_several_messages_do_not_pass_by_an_open_question_either():
    slot = Slot.fixed("a.think", ScriptedModel(three_calls), "v1")
    graph = build_react(slot, [look], ask=lambda name, args: "money").compile(InMemorySaver())
    run_thread(graph, "t", "Where?")
    with pytest.raises(StillPaused, match=r"waits for an answer about look\(order='A1'\)"):
        graph.invoke({"messages": [HumanMessage("one"), HumanMessage("two")]}, THREAD)


def test_a_slot_that_comes_along_in_the_middle_of_a_run_leaves_the_others_on_their_versions():
    think, spare = Slot.fixed("a.think", ScriptedModel([]), "v2"), Slot.fixed("a.spare", ScriptedModel([]), "s1")
    messages = [HumanMessage("q"), AIMessage("Hm.")]
    update = make_observe([think, spare])({"messages": messages, "versions": {"a.think": "v1"}}, {})
    assert update == {"versions": {"a.think": "v1", "a.spare": "s1"}}


def counted(messages: Sequence[BaseMessage], context: Any = None) -> int:
    """By a model without a tokenizer here."""
    return count_prompt(None, messages, context or {}, noted_besides(messages))


def usage(total: int) -> Any:
    return {"input_tokens": total, "output_tokens": 0, "total_tokens": total}


def test_memories_do_not_make_the_words_of_the_thread_cost_more():
    memory = f"What is remembered:\n{mark_as_data('tea ' * 2000, 'k', 'memory')}"
    noted = {"system": f"Be kind.\n\n{memory}"}
    cost = counted([HumanMessage("q1")], {"memory": memory}) + 10
    messages = [HumanMessage("q1"), AIMessage("a1", response_metadata=noted, usage_metadata=usage(cost))]
    assert cost - 10 <= counted([*messages, HumanMessage("q2")], {"memory": memory}) <= cost + 20


def test_an_answer_that_cost_nothing_tells_nothing():
    free = [AIMessage("word " * 200, usage_metadata=usage(0)), HumanMessage("q")] * 4
    assert counted(free) > 1000
    desk = Desk(lambda messages: AIMessage("word " * 200, usage_metadata=usage(0)), budget=Budget(tokens=300))
    desk.ask("q1", "q2", "q3")
    assert list(map(len, desk.saw)) == [1, 3, 1]


def test_files_are_counted_by_their_pages_and_not_by_their_letters():
    pdf = {"type": "file", "base64": "x" * 200_000, "mime_type": "application/pdf", "filename": "a.pdf"}
    image = {"type": "image", "base64": "x" * 200_000, "mime_type": "image/png"}
    assert 9_000 < counted([HumanMessage([{"type": "text", "text": "see"}, pdf])]) < 9_010  # of 150 kB
    assert 1_000 < counted([HumanMessage([{"type": "text", "text": "see"}, image])]) < 1_010
    desk = Desk(lambda messages: say(1, messages), budget=Budget(tokens=9_100))
    desk.ask(HumanMessage([pdf]))
    assert desk.model.counted == []


def test_the_window_of_a_model_inside_of_another_one_counts():
    inner = WordModel(replies=[])
    inner.context = 100
    assert room_in(Budget(), ReactChatModel(inner=inner)) == 95
