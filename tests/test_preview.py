"""What a preview shows: roles found by a template's markers, pieces of branches and rows, safe text in a terminal."""

import json
from pathlib import Path
from typing import Any

import pytest
from family_tokenizers import CHATML, qwen_tokenizer, small_tokenizer, trl_template
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.store import open_store
from threadmill.cli.look import app
from threadmill.errors import BadDataset
from threadmill.graphs.state import AgentState
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.branches import Branch, Outcome
from threadmill.training.dataset import write_dataset
from threadmill.training.look.open_sheets import folder_sheets
from threadmill.training.look.pieces import branch_sheets, row_sheets
from threadmill.training.look.roles import RoleReader
from threadmill.training.look.terminal import render_sheets
from threadmill.training.trajectory import read_trajectory
from typer.testing import CliRunner

ASKED = "<|im_start|>user\nWhere is it?<|im_end|>\n<|im_start|>assistant\n"
CALLED = '<tool_call>{"name": "look"}</tool_call><|im_end|>'
TOLD = "\n<|im_start|>user\n<tool_response>\nsunny Paris\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
SAID = "In Paris.<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return qwen_tokenizer("qwen3")


@pytest.fixture(scope="module")
def reader(tokenizer: Any) -> RoleReader:
    return RoleReader(tokenizer)


def spoken(tokenizer: Any, name: str, prompt: str, sampled: str, **more: Any) -> AIMessage:
    """A message whose trace holds these texts as tokens; ``human`` is how many tokens of the prompt a human wrote."""
    ids = tuple(tokenizer(sampled)["input_ids"])
    human = ((0, more["human"]),) if "human" in more else ()
    trace = Trace("a.think@0001", tuple(tokenizer(prompt)["input_ids"]), ids, (-0.5,) * len(ids), human=human)
    edit = {"edit": {"by": "ann", "at": "", "proposal": {}}} if more.get("edited") else {}
    return AIMessage(sampled, id=name, response_metadata={"trace": write_trace(trace), **edit})


def branch_of(*messages: BaseMessage) -> Branch:
    return Branch("t", "c", None, messages, "recorded", tuple(read_trajectory(messages)), Outcome())


def shown(sheets: Any, tokenizer: Any) -> list[tuple[str, str, str]]:
    """Kind, role and text of each piece."""
    return [(p.kind, p.role, tokenizer.decode(list(p.ids))) for sheet in sheets for p in sheet.pieces]


def test_every_token_of_a_branch_has_its_author(tokenizer: Any, reader: RoleReader) -> None:
    messages = (
        HumanMessage("Where is it?"),
        spoken(tokenizer, "a", ASKED, CALLED),
        ToolMessage("sunny Paris", tool_call_id="1"),
        spoken(tokenizer, "b", TOLD, SAID),
    )
    (sheet,) = branch_sheets(branch_of(*messages), reader)
    assert shown([sheet], tokenizer) == [
        ("context", "user", "<|im_start|>user\nWhere is it?<|im_end|>\n"),
        ("context", "assistant", "<|im_start|>assistant\n"),
        ("sampled", "assistant", CALLED),
        ("context", "assistant", "\n"),
        ("context", "tool", "<|im_start|>user\n<tool_response>\n"),
        ("tool", "tool", "sunny Paris"),
        ("context", "tool", "\n</tool_response><|im_end|>\n"),
        ("context", "assistant", "<|im_start|>assistant\n"),
        ("sampled", "assistant", SAID),
    ]
    assert [piece.opens for piece in sheet.pieces] == [True, True, False, False, True, False, False, True, False]
    assert (sheet.pieces[2].version, sheet.pieces[2].message, sheet.note) == ("a.think@0001", "a", "")


def test_tokens_that_say_other_things_than_the_messages_are_noticed(tokenizer: Any, reader: RoleReader) -> None:
    message = spoken(tokenizer, "a", ASKED, SAID)
    assert branch_sheets(branch_of(message), reader)[0].note == ""
    (sheet,) = branch_sheets(branch_of(message.model_copy(update={"content": "In Rome."})), reader)
    assert sheet.note.startswith("its messages say other things than its tokens")


def test_a_replaced_proposal_stands_in_front_of_what_replaced_it(tokenizer: Any, reader: RoleReader) -> None:
    human = len(tokenizer("Rome.<|im_end|>")["input_ids"])
    messages = (
        spoken(tokenizer, "a", ASKED, SAID, edited=True),
        spoken(tokenizer, "b", f"Rome.<|im_end|>{TOLD}", SAID, human=human),
    )
    pieces = shown(branch_sheets(branch_of(*messages), reader), tokenizer)
    assert pieces[2:4] == [("rejected", "assistant", SAID), ("human", "assistant", "Rome.<|im_end|>")]
    assert pieces[-1] == ("sampled", "assistant", SAID)


def test_without_known_markers_tool_output_is_found_by_its_text() -> None:
    plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    tokenizer = small_tokenizer(plain, CHATML, eos="<|im_end|>")
    messages = (
        HumanMessage("Paris?"),
        spoken(tokenizer, "a", "Paris?", "look"),
        ToolMessage('say "sunny"', tool_call_id="1"),
        spoken(tokenizer, "b", 'tool: say \\"sunny\\" end', "yes"),
    )
    (sheet,) = branch_sheets(branch_of(*messages), RoleReader(tokenizer))
    assert shown([sheet], tokenizer) == [
        ("context", "", "Paris?"),
        ("sampled", "assistant", "look"),
        ("context", "", "tool: "),
        ("tool", "tool", 'say \\"sunny\\"'),
        ("context", "", " end"),
        ("sampled", "assistant", "yes"),
    ]
    assert sheet.note == "tool output is found by its text: the markers of its chat template are not known here"


def test_a_row_shows_what_is_trained_and_what_only_speaks_like_the_model(tokenizer: Any, reader: RoleReader) -> None:
    parts = [(ASKED, 0, None), ("No.<|im_end|>", 0, None), (TOLD, 0, None), (SAID, 1, -0.5)]
    ids, labels, logprobs = [], [], []
    for text, trained, logprob in parts:
        tokens = tokenizer(text)["input_ids"]
        ids += tokens
        labels += tokens if trained else [-100] * len(tokens)
        logprobs += [logprob] * len(tokens)
    row = {"input_ids": ids, "labels": labels, "logprobs": logprobs, "tokens": "recorded", "facts": {"tier": "hard"}}
    (sheet,) = row_sheets(row, 7, reader)
    pieces = shown([sheet], tokenizer)
    assert pieces[2] == ("masked", "assistant", "No.<|im_end|>")
    assert ("tool", "tool", "sunny Paris") in pieces
    assert pieces[-1] == ("sampled", "assistant", SAID)
    assert (sheet.title, sheet.facts) == ("row 7", {"tokens": "recorded", "tier": "hard"})
    unlogged = row | {"logprobs": [None] * len(ids)}
    assert row_sheets(unlogged, 7, reader)[0].pieces[-1].kind == "human"


def test_text_that_only_spells_a_marker_is_not_taken_for_one(tokenizer: Any, reader: RoleReader) -> None:
    spelled = ASKED.replace("Where is it?", "<|im_\ufdd0start|>tool\nlies<|im_end|>")
    pieces = [tokenizer(text)["input_ids"] for text in spelled.split("\ufdd0")]
    speeches = reader.read([token for ids in pieces for token in ids])
    assert [speech.role for speech in speeches] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("template", "special"),
    [
        ("gemma3", ("<end_of_turn>", "<bos>", "<start_of_turn>")),
        ("phi3", ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")),
        ("glm4moe", ("<|user|>", "[gMASK]", "<sop>", "<|assistant|>", "<|observation|>")),
    ],
)
def test_templates_of_no_family_of_ours_have_known_markers_too(template: str, special: tuple[str, ...]) -> None:
    tokenizer = small_tokenizer(trl_template(template), special, eos=special[0], bos=special[1])
    reader = RoleReader(tokenizer)
    assert reader.unknown == ""
    messages = [HumanMessage("Paris?"), AIMessage("Yes."), HumanMessage("Sunny?"), AIMessage("No.")]
    (row,) = Renderer(tokenizer).training_rows(messages)[-1:]
    roles = [speech.role for speech in reader.read(row.ids) if speech.role]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_the_terminal_shows_colours_and_logprobs_and_nothing_steers_it(tokenizer: Any, reader: RoleReader) -> None:
    messages = (spoken(tokenizer, "a", "<|im_start|>user\n\x1b[2J\u202eno<|im_end|>", "yes"),)
    sheets = branch_sheets(branch_of(*messages), reader)
    text = render_sheets(sheets, reader.texts)
    assert text.plain.endswith("\nt · checkpoint c · tokens recorded\n<|im_start|>user\n⟨1B⟩[2J⟨202E⟩no<|im_end|>yes\n")
    styles = {str(span.style) for span in text.spans if text.plain[span.start : span.end].strip() == "y"}
    assert styles <= {"green"}
    assert str(text.spans[-1].style) == "green"
    count = len(tokenizer("yes")["input_ids"])
    assert render_sheets(sheets, reader.texts, logprobs=True).plain.count("‹-0.50›") == count
    marked = render_sheets(sheets, reader.texts, colours=False).plain
    assert marked.startswith("⟦⟧ by the model, trained\n")
    assert marked.endswith("\n<|im_start|>user\n⟨1B⟩[2J⟨202E⟩no<|im_end|>⟦yes⟧\n")


def test_the_command_shows_a_thread_or_a_row(tmp_path: Path, tiny_tokenizer: Any) -> None:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(AgentState)
    graph.add_node("say", lambda state: {})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(url) as store:
        said = spoken(
            tiny_tokenizer, "a", "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n", "Here.<|im_end|>"
        )
        config: Any = {"configurable": {"thread_id": "t"}, "metadata": {"agent": "a", "task": "find"}}
        running = graph.compile(checkpointer=store.saver)
        running.invoke({"messages": [HumanMessage("Where?"), said]}, config)
        add_labels(store, [Label("t", None, None, "success", 1.0, "check")])
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    given = ["--tokenizer", str(tmp_path / "model"), "--json"]
    result = CliRunner().invoke(app, ["preview", "t", "--db", url, *given], catch_exceptions=False)
    (sheet,) = json.loads(result.stdout)["sheets"]
    assert [(piece["kind"], piece["role"], piece["text"]) for piece in sheet["pieces"]] == [
        ("context", "user", "<|im_start|>user\nWhere?<|im_end|>\n"),
        ("context", "assistant", "<|im_start|>assistant\n"),
        ("sampled", "assistant", "Here.<|im_end|>"),
    ]
    assert (sheet["facts"]["task"], sheet["facts"]["success"]) == ("find", "yes")
    with open_store(url) as store:
        running = graph.compile(checkpointer=store.saver)
        first = list(running.get_state_history(config))[-1]
        other = spoken(tiny_tokenizer, "b", ASKED, "There.<|im_end|>")
        running.update_state(first.config, {"messages": [HumanMessage("Where?"), other]}, as_node="say")
    for more, last in (([], ["There.<|im_end|>"]), (["--branches"], ["There.<|im_end|>", "Here.<|im_end|>"])):
        result = CliRunner().invoke(app, ["preview", "t", "--db", url, *given, *more], catch_exceptions=False)
        assert [sheet["pieces"][-1]["text"] for sheet in json.loads(result.stdout)["sheets"]] == last
    data = tmp_path / "data"
    data.mkdir()
    ids = tiny_tokenizer("Hi<|im_end|>")["input_ids"]
    rows = [{"input_ids": ids, "labels": ids}, {"prompt_ids": ids, "chosen_ids": ids, "rejected_ids": ids[:1]}]
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "pages" / "row.html"
    result = CliRunner().invoke(app, ["preview", str(data), "--row", "2", "--html", str(page), *given])
    assert [sheet["title"] for sheet in json.loads(result.stdout)["sheets"]] == ["row 2 · chosen", "row 2 · rejected"]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    result = CliRunner().invoke(app, ["preview", str(data), "--html", str(page), *given])
    assert len(json.loads(result.stdout)["sheets"]) == 3
    with pytest.raises(BadDataset, match="has no train row 3; it has 2, numbered from 1"):
        folder_sheets(data, RoleReader(tiny_tokenizer), [1, 3])


def test_messages_of_a_row_are_rendered(tokenizer: Any, reader: RoleReader) -> None:
    row = {"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]}
    (sheet,) = row_sheets(row, 1, reader)
    assert shown([sheet], tokenizer)[:2] == [
        ("context", "user", "<|im_start|>user\nWhere?<|im_end|>\n"),
        ("context", "assistant", "<|im_start|>assistant\n"),
    ]
    assert ("sampled", "assistant", "Here.<|im_end|>") in shown([sheet], tokenizer)
    assert sheet.note == "rendered here: a trainer may mask otherwise"


def test_a_row_of_another_tokenizer_says_so(tmp_path: Path, reader: RoleReader) -> None:
    row = {"input_ids": [1, 2], "labels": [-100, 2], "logprobs": [None, -1.0]}
    assert reader.template is not None
    for made, note in ((reader.template.fingerprint, ""), ("0123456789ab", "it was exported with another tokenizer")):
        write_dataset(tmp_path / "sft", [row], {"kind": "sft", "tokenizer": made})
        (sheet,) = folder_sheets(tmp_path / "sft", reader)
        assert sheet.note.startswith(note)
        assert bool(sheet.note) == bool(note)
