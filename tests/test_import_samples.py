"""Real runs of every format that there are samples of, with counts made by hand from the files; see data/README.md."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from threadmill.checkpoints.importers import import_files
from threadmill.checkpoints.importers.schemas import read_tools
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import latest_metadata, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.nodes.models.render import Renderer
from threadmill.training.branches import Branch, read_branches

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('samples') / 'runs.db'}") as opened:
        yield opened


@pytest.mark.parametrize(
    ("file", "format", "runs", "messages", "calls", "labels"),
    [
        ("tau_airline.gpt-4o.sample.jsonl.gz", "tau-bench", 12, 280, 50, 24),
        ("tau2_airline/results.gpt-4.1.sample.json.gz", "tau2", 2, 23 + 12 + 2, 6 + 1, 4),
        ("tau2_airline/results.qwen2.5-7b.sample.json.gz", "tau2", 4, 7 + 27 + 20 + 5 + 4, 1 + 6 + 3, 8),
        ("intercode_bash.gpt-4.fs1.sample.jsonl.gz", "intercode", 3, 2 * 14 + 6, 3 + 10 + 1, 14 + 6),
        ("intercode_bash.gpt-4.fs2.sample.jsonl.gz", "intercode", 3, 2 * 13 + 6, 1 + 10 + 2, 13 + 6),
        ("swe_agent", "swe-agent", 4, 12 + 3 * 6, 5 + 2, 0),
        ("toolbench.sample.jsonl.gz", "toolbench", 3, 48, 21, (4 + 1 + 3) + 3),
        ("responses.sample.jsonl.gz", "responses", 3, 9 + 6 + 5, 3 + 2 + 1, 6),
        ("functionchat.sample.jsonl.gz", "functionchat", 4, 6 + 9 + 8 + 8, 6, 0),
        ("react_hotpotqa.sample.txt.gz", "react-text", 8, 80, 36, 16),
        ("api_bank.sample.jsonl.gz", "api-bank", 2, 12 + 6, 3 + 2, 0),
    ],
)
def test_a_sample_is_found_out_and_imported_whole(
    store: Store, file: str, format: str, runs: int, messages: int, calls: int, labels: int
) -> None:
    report = import_files(store, [DATA / file])
    assert (report.format, report.imported) == (format, runs)
    assert (report.messages, report.tool_calls, report.labels) == (messages, calls, labels)
    again = import_files(store, [DATA / file], format="auto")
    assert (again.imported, again.messages, again.labels) == (0, 0, 0)
    assert again.set_aside == report.set_aside


def answers(store: Store, thread: str) -> list[AIMessage]:
    return [message for message in read_messages(store, thread) if isinstance(message, AIMessage)]


def results(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    return [(m.status, m.additional_kwargs["kind"]) for m in messages if isinstance(m, ToolMessage)]


def tools_noted(message: AIMessage) -> list[str]:
    return [tool["function"]["name"] for tool in message.response_metadata.get("tools", [])]


def branches_of(store: Store, thread: str) -> list[Branch]:
    labels = labels_of(store, [thread]).get(thread, [])
    return read_branches(store, thread, task=None, labels=labels, renderer=None)


def test_tau2_begins_with_the_policy_and_a_greeting_that_no_model_said(store: Store) -> None:
    import_files(store, [DATA / "tau2_airline/results.gpt-4.1.sample.json.gz"])
    said = read_messages(store, "tau2-airline-16-gpt-4.1-0")
    assert [message.type for message in said[:4]] == ["system", "ai", "human", "ai"]
    assert said[0].text.startswith("# Airline Agent Policy")
    greeting, first, *_ = answers(store, "tau2-airline-16-gpt-4.1-0")
    assert (greeting.text, greeting.response_metadata) == ("Hi! How can I help you today?", {"canned": True})
    assert "canned" not in first.response_metadata
    assert tools_noted(first) == ["book_reservation", "get_user_details"]
    book = first.response_metadata["tools"][0]["function"]["parameters"]
    assert set(book["$defs"]) == {"FlightInfo", "Passenger", "Payment"}
    assert book["properties"]["flights"]["items"]["anyOf"][0] == {"$ref": "#/$defs/FlightInfo"}


def test_a_greeting_is_given_and_never_trained(store: Store, tiny_tokenizer: Any) -> None:
    import_files(store, [DATA / "tau2_airline/results.gpt-4.1.sample.json.gz"])
    thread = "tau2-airline-48-gpt-4.1-0"
    (branch,) = read_branches(store, thread, task=None, labels=[], renderer=Renderer(tiny_tokenizer))
    trained = [span.message for row in branch.trajectories for span in row.spans if span.origin != "given"]
    assert trained == [answer.id for answer in answers(store, thread)[1:]]


def test_tau2_pairs_parallel_calls_and_says_how_the_run_ended(store: Store) -> None:
    import_files(store, [DATA / "tau2_airline/results.qwen2.5-7b.sample.json.gz"])
    said = read_messages(store, "tau2-airline-16-qwen2.5-7b-0")
    asked = said[3]
    assert isinstance(asked, AIMessage)
    assert [call["name"] for call in asked.tool_calls] == ["get_user_details", "search_onestop_flight"]
    assert [m.tool_call_id for m in said[4:6] if isinstance(m, ToolMessage)] == [c["id"] for c in asked.tool_calls]
    assert [status for status, _ in results(said)] == ["error", "success", "success", "error", "error", "error"]
    metadata = latest_metadata(store, "tau2-airline-43-qwen2.5-7b-0")
    assert (metadata["termination_reason"], metadata["model"]) == ("agent_error", "ollama_chat/qwen2.5:7b")
    last = answers(store, "tau2-airline-43-qwen2.5-7b-0")[-1]
    assert (last.text, last.tool_calls) == ("", [])
    assert "You sent an empty message" in last.response_metadata["errors"][0]


def test_a_call_that_is_only_spelled_stays_text_and_says_so(store: Store) -> None:
    import_files(store, [DATA / "tau2_airline/results.qwen2.5-7b.sample.json.gz"])
    said = answers(store, "tau2-airline-18-qwen2.5-7b-0")
    assert [place for place, m in enumerate(said) if m.response_metadata.get("call_in_text")] == [1]
    assert said[1].text.startswith('{\n  "name": "get_user_details"')
    assert said[1].tool_calls == []


def test_two_models_at_one_task_are_a_group(store: Store) -> None:
    report = import_files(store, [DATA / "tau2_airline"])
    assert report.set_aside == []  # tools.json is no run, and not taken for one
    assert [t.thread for t in list_threads(store, task="tau2-airline-16")] == [
        "tau2-airline-16-gpt-4.1-0",
        "tau2-airline-16-qwen2.5-7b-0",
    ]


def test_three_forms_of_one_swe_agent_task_stay_what_they_are(store: Store) -> None:
    import_files(store, [DATA / "swe_agent"])
    calls, text, xml = list_threads(store, task="swe-marshmallow-code__marshmallow-1867")
    assert [thread.thread.rpartition("-")[0].removeprefix("swe-marshmallow-code__marshmallow-1867-") for thread in
            (calls, text, xml)] == ["calls-gpt-4o", "text-gpt-4o", "xml-gpt-4o"]  # fmt: skip
    assert [m.type for m in read_messages(store, calls.thread)] == ["system", "human", "ai", "tool", "ai", "tool"]
    for thread in (text, xml):
        messages = read_messages(store, thread.thread)
        assert [m.type for m in messages] == ["system", "human", "ai", "human", "ai", "human"]
        assert messages[2].response_metadata == {"action": "create reproduce.py"}
        assert messages[3].additional_kwargs == {"kind": "observation"}
        assert "kind" not in messages[1].additional_kwargs
    assert read_messages(store, text.thread)[2].text.endswith("\n```\ncreate reproduce.py\n```")
    assert read_messages(store, xml.thread)[2].text.endswith("\n<command>\ncreate reproduce.py\n</command>")


def test_the_paths_of_a_toolbench_search_are_branches(store: Store) -> None:
    import_files(store, [DATA / "toolbench.sample.jsonl.gz"])
    found = branches_of(store, "toolbench-G1-57_ChatGPT_DFS_woFilter_w2")
    assert [branch.outcome.success for branch in found] == [False, False, False, True]
    shared = [[m.id for m in branch.messages[:6]] for branch in found]
    assert shared[0] == shared[1] == shared[2] == shared[3]
    *_, answer, told = found[-1].messages
    assert isinstance(answer, AIMessage)
    assert (answer.tool_calls[0]["name"], answer.tool_calls[0]["args"]["return_type"]) == ("Finish", "give_answer")
    assert told.text == '{"response":"successfully giving the final answer."}'
    assert [tool["function"]["name"] for tool in found[0].tools][-2:] == ["products_for_seo_api", "Finish"]
    assert ("error", "failed") in results(list(found[0].messages))
    assert found[-1].messages == tuple(read_messages(store, "toolbench-G1-57_ChatGPT_DFS_woFilter_w2"))


def test_responses_keep_reasoning_and_parallel_calls(store: Store) -> None:
    import_files(store, [DATA / "responses.sample.jsonl.gz"])
    said = read_messages(store, "responses-resp_289fb86842ea492cb13aa96def13c8d5")
    assert [message.type for message in said] == ["system", "human", "ai", "tool", "tool", "ai"]
    asked = said[2]
    assert isinstance(asked, AIMessage)
    assert [call["args"] for call in asked.tool_calls] == [{"type": "beta"}, {"type": "game"}]
    assert asked.additional_kwargs["reasoning_content"].startswith("\nOkay, the user is asking where to find live")
    assert tools_noted(asked) == ["live_giveaways_by_type"]


def test_korean_dialogs_keep_their_words_and_split_where_the_past_is_told_otherwise(store: Store) -> None:
    import_files(store, [DATA / "functionchat.sample.jsonl.gz"])
    assert read_messages(store, "functionchat-1")[0].text == "새 계정을 만들고 싶습니다."
    kinds = [m.response_metadata.get("type_of_output") for m in answers(store, "functionchat-1")]
    assert kinds == ["slot", "call", "completion"]
    right, told = branches_of(store, "functionchat-6")
    assert [m.text[:6] for m in (right.messages[3], told.messages[3])] == ["61,500", "61500원"]
    assert [m.id for m in right.messages[:3]] == [m.id for m in told.messages[:3]]
    for branch in (branch for dialog in (1, 8, 11) for branch in branches_of(store, f"functionchat-{dialog}")):
        calls = [call["id"] for m in branch.messages if isinstance(m, AIMessage) for call in m.tool_calls]
        answered = [m.tool_call_id for m in branch.messages if isinstance(m, ToolMessage)]
        assert answered == calls[: len(answered)]  # the first path of dialog 8 ends with a call


def test_react_trials_of_one_question_are_a_group_and_a_run_told_twice_is_one(store: Store) -> None:
    report = import_files(store, [DATA / "react_hotpotqa.sample.txt.gz"])
    assert report.imported + report.already == 10  # the two runs about John Arledge stand there twice
    trials = list_threads(store, task="react-who-directed-the-1940-film-02fbe3")
    assert [trial.thread[-2:] for trial in trials] == ["-1", "-2"]
    said = read_messages(store, trials[0].thread)
    first = said[1]
    assert isinstance(first, AIMessage)
    assert first.text.startswith("I need to search John Arledge and find")
    assert (first.tool_calls[0]["name"], first.tool_calls[0]["args"]) == ("Search", {"entity": "John Arledge"})
    assert (said[-1].text, {label.value for label in labels_of(store)[trials[0].thread]}) == (
        "Answer is INCORRECT",
        {0},
    )
    halted = list_threads(store, task="react-kam-heskin-plays-paige-morgan-f0ccdc")[0].thread
    assert latest_metadata(store, halted)["termination_reason"] == "halted"


def test_api_bank_speaks_and_calls_in_one_answer_and_an_empty_dialog_is_set_aside(store: Store) -> None:
    report = import_files(store, [DATA / "api_bank.sample.jsonl.gz"])
    assert [(row["line"], row["reason"]) for row in report.set_aside] == [(3, "nothing is said in it")]
    said = answers(store, "api-bank-level-1-given-desc-AddAgenda-AddAlarm-GetUserToken-level-2-1")
    assert [(m.text[:10], [c["name"] for c in m.tool_calls]) for m in said[2:]] == [
        ("Thank you.", ["GetUserToken"]),
        ("I have ret", ["AddAgenda"]),
        ("I have add", ["AddAlarm"]),
        ("Your sched", []),
    ]


def test_bash_runs_of_two_file_systems_are_different_tasks(store: Store) -> None:
    import_files(store, sorted(DATA.glob("intercode_bash*")))
    tasks = Counter(thread.task for thread in list_threads(store, agent="intercode-bash"))
    assert set(tasks) == {f"intercode-bash-fs{place}-{number}" for place in (1, 2) for number in range(3)}
    first = answers(store, "intercode-bash-fs1-0-gpt-4")[0]
    assert first.tool_calls[0]["args"]["command"].startswith("find /testbed")
    assert tools_noted(first) == ["execute", "submit"]


def test_schemas_of_the_berkeley_leaderboard_become_json_schema() -> None:
    content = gzip.decompress((DATA / "bfcl_schemas.sample.jsonl.gz").read_bytes())
    rows = [json.loads(line) for line in content.splitlines()]
    types: set[Any] = set()

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            if isinstance(schema.get("type"), str):
                types.add(schema["type"])
            for inner in schema.values():
                walk(inner)

    before = json.dumps([row["function"] for row in rows])
    assert '"type": "dict"' in before
    assert '"type": "float"' in before
    for row in rows:
        for tool in read_tools(row["function"]):
            walk(tool["function"]["parameters"])
    assert types <= {"object", "number", "integer", "string", "array", "boolean"}
