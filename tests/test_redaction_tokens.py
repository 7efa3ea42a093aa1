"""Redaction of trajectories, token by token, and of whole branches."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.checkpoints.labels import Label
from threadmill.errors import BadRedaction
from threadmill.nodes.models.trace import EDIT_KEY, TRACE_KEY
from threadmill.training.branches import Branch, Outcome
from threadmill.training.selection.redaction import Redactor, redact_branch
from threadmill.training.trajectory import Proposal, Span, Trajectory, loss_mask

ADDRESS = r"[\w.]+@[\w.]+\w"
KEY = "AKIA" + "ABCDEFGHIJKLMNOP"  # in two parts, so that nobody takes it for a real one


def redactor_for(tokenizer: Any) -> Redactor:
    """With a pattern in place of Presidio, which takes seconds to load."""
    return Redactor(tokenizer, kinds=["AWS_ACCESS_KEY"], also={"EMAIL": ADDRESS})


@pytest.fixture(scope="module")
def seed() -> Any:
    """The tokenizer of the seed policy: whole words such as anna and @example.com are tokens."""
    from threadmill.training.slots import SEED_POLICY
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(SEED_POLICY))


def span(tokenizer: Any, origin: Any, text: str, message: str | None = None) -> Span:
    tokens = tuple(tokenizer.encode(text, add_special_tokens=False))
    logprobs = tuple(-0.5 - place for place in range(len(tokens))) if origin == "sampled" else ()
    return Span(origin, tokens, logprobs, message, "a.think@0001" if origin == "sampled" else None)


def shown(tokenizer: Any, spans: tuple[Span, ...]) -> list[tuple[str, str, str | None]]:
    return [(one.origin, tokenizer.decode(list(one.tokens)), one.message) for one in spans]


def test_the_tokens_of_a_find_are_given_and_the_rest_of_the_turn_stays_as_it_was(seed: Any) -> None:
    call = '<tool_call>{"name": "get_orders", "arguments": {"email": "anna.adler@example.com"}}</tool_call><|im_end|>'
    turn = span(seed, "sampled", call, "m")
    given_ = span(seed, "given", "<|im_start|>user\nI am ben.dahl@example.com<|im_end|>\n<|im_start|>assistant\n")
    redacted, counts = redactor_for(seed).trajectory(Trajectory((given_, turn)))
    assert counts == {"EMAIL": 2}
    assert shown(seed, redacted.spans) == [
        ("given", "<|im_start|>user\nI am [EMAIL]<|im_end|>\n<|im_start|>assistant\n", None),
        ("sampled", '<tool_call>{"name": "get_orders", "arguments": {"email": "', "m"),
        ("given", "[EMAIL]", "m"),
        ("sampled", '"}}</tool_call><|im_end|>', "m"),
    ]
    _, before, placeholder, after = redacted.spans
    # what was sampled: 10 tokens, then anna . adler @example.com, then "}}</tool_call> and the end of the turn
    assert [len(before.tokens), len(turn.tokens), len(after.tokens)] == [10, 16, 2]
    assert (before.tokens, before.logprobs) == (turn.tokens[:10], turn.logprobs[:10])
    assert (after.tokens, after.logprobs) == (turn.tokens[14:], turn.logprobs[14:])
    assert (placeholder.logprobs, placeholder.version, after.version) == ((), None, "a.think@0001")
    assert loss_mask(redacted.spans[1:]) == [1] * 10 + [0] * len(placeholder.tokens) + [1] * 2


def test_characters_that_share_a_token_with_a_find_stay_in_the_text(tiny_tokenizer: Any) -> None:
    # " o" is one token of this tokenizer, and so is "O123"; the latter is not cut up for the e
    text = "at o@x.yz. Order O123"
    assert tiny_tokenizer.decode(tiny_tokenizer.encode("at o")[-1]) == " o"
    redacted, _ = redactor_for(tiny_tokenizer).trajectory(Trajectory((span(tiny_tokenizer, "sampled", text, "m"),)))
    assert shown(tiny_tokenizer, redacted.spans) == [
        ("sampled", "at", "m"),
        ("given", " [EMAIL]", "m"),
        ("sampled", ". Order O123", "m"),
    ]


def test_characters_of_several_tokens_are_counted_right(tiny_tokenizer: Any) -> None:
    text = "é中😀 jo@é中.de 😀!"
    redacted, _ = redactor_for(tiny_tokenizer).trajectory(Trajectory((span(tiny_tokenizer, "sampled", text, "m"),)))
    assert [piece for _, piece, _ in shown(tiny_tokenizer, redacted.spans)] == ["é中😀 ", "[EMAIL]", " 😀!"]


def test_half_characters_and_bytes_of_none_hide_nothing(tiny_tokenizer: Any) -> None:
    half = tiny_tokenizer.encode("😀")[:2]
    mail = tiny_tokenizer.encode("jo@x.de")
    trajectory = Trajectory((Span("sampled", (*half, *mail, *half), tuple([-1.0] * (len(mail) + 4)), "m", "v"),))
    redacted, counts = redactor_for(tiny_tokenizer).trajectory(trajectory)
    assert counts == {"EMAIL": 1}
    assert [list(one.tokens) for one in redacted.spans] == [half, tiny_tokenizer.encode("[EMAIL]"), half]


def test_a_find_goes_across_spans_but_not_across_special_tokens(seed: Any) -> None:
    one = (span(seed, "given", "Write to jo@exam"), span(seed, "sampled", "ple.com now", "m"))
    redacted, counts = redactor_for(seed).trajectory(Trajectory(one))
    assert counts == {"EMAIL": 1}
    assert shown(seed, redacted.spans) == [
        ("given", "Write to [EMAIL]", None),
        ("given", "[EMAIL]", "m"),
        ("sampled", " now", "m"),
    ]
    two = (span(seed, "given", "Write to jo@<|im_end|>"), span(seed, "sampled", "example.com", "m"))
    assert redactor_for(seed).trajectory(Trajectory(two)) == (Trajectory(two), Counter())


def test_two_finds_in_one_token_leave_two_placeholders(tiny_tokenizer: Any) -> None:
    redactor = Redactor(tiny_tokenizer, kinds=[], also={"ONE": "O1", "TWO": "23"})
    (token,) = tiny_tokenizer.encode("O123")
    redacted, counts = redactor.trajectory(Trajectory((Span("sampled", (token, token), (-1.0, -2.0), "m"),)))
    assert shown(tiny_tokenizer, redacted.spans) == [("given", "[ONE][TWO]", "m"), ("given", "[ONE][TWO]", "m")]
    assert counts == {"ONE": 2, "TWO": 2}


def test_proposals_are_redacted_and_still_point_at_what_replaced_them(seed: Any) -> None:
    spans = (
        span(seed, "given", "jo@x.de asks<|im_start|>"),
        span(seed, "sampled", "To anna.adler@example.com: hello<|im_end|>", "a"),
        span(seed, "given", "<|im_start|>"),
        span(seed, "human", "To ben.dahl@example.com: bye<|im_end|>", "b"),
    )
    proposal = Proposal(span(seed, "sampled", "To anna.adler@example.com: bye<|im_end|>", "b"), at=3, replaced=True)
    redacted, counts = redactor_for(seed).trajectory(Trajectory(spans, (proposal,)))
    assert counts == {"EMAIL": 4}
    (moved,) = redacted.proposals
    assert shown(seed, redacted.spans[: moved.at])[-1] == ("given", "<|im_start|>", None)
    assert shown(seed, redacted.spans[moved.at :]) == [
        ("human", "To ", "b"),
        ("given", "[EMAIL]", "b"),
        ("human", ": bye<|im_end|>", "b"),
    ]
    assert shown(seed, moved.cut) == [
        ("sampled", "To ", "b"),
        ("given", "[EMAIL]", "b"),
        ("sampled", ": bye<|im_end|>", "b"),
    ]
    # whoever does not look at the pieces trains nothing of it
    assert shown(seed, (moved.span,)) == [("given", "To [EMAIL]: bye<|im_end|>", "b")]
    untouched = replace(proposal, span=span(seed, "sampled", "No.", "b"))
    assert redactor_for(seed).trajectory(Trajectory(spans, (untouched,)))[0].proposals[0].span == untouched.span


def test_what_only_a_proposal_shows_to_be_a_find_is_replaced_in_front_of_it_too(seed: Any) -> None:
    spans = (span(seed, "given", "Write to jo"), span(seed, "human", " or not", "b"))
    proposal = Proposal(span(seed, "sampled", "@x.de now", "b"), at=1, replaced=True)
    redacted, counts = redactor_for(seed).trajectory(Trajectory(spans, (proposal,)))
    assert shown(seed, redacted.spans) == [("given", "Write to [EMAIL]", None), ("human", " or not", "b")]
    assert shown(seed, redacted.proposals[0].cut) == [("given", "[EMAIL]", "b"), ("sampled", " now", "b")]
    assert counts == {"EMAIL": 1}


def test_branches_that_begin_alike_still_do(seed: Any) -> None:
    prefix = (
        span(seed, "given", "<|im_start|>user\nI am ben.dahl@example.com<|im_end|>\n"),
        span(seed, "sampled", "Hello ben.dahl@example.com<|im_end|>", "a"),
        span(seed, "given", "<|im_start|>"),
    )
    redactor = redactor_for(seed)
    ends = [
        span(seed, "sampled", text, "b") for text in ("To ben.dahl@example.com<|im_end|>", "jo@x.de<|im_end|>", "No.")
    ]
    one, *others = [redactor.trajectory(Trajectory((*prefix, end)))[0].spans[:5] for end in ends]
    assert others == [one, one]
    assert [piece.origin for piece in one] == ["given", "sampled", "given", "sampled", "given"]


parts = st.lists(
    st.sampled_from(["o", " ", "Order", "é中", "😀", "\n", '"', "\\", "<|im_end|>", "O123", ", "]), max_size=6
)


@settings(max_examples=40, deadline=None)
@given(before=parts, after=parts, secret=st.sampled_from(["jo@example.com", KEY]), cuts=st.lists(st.integers(0, 40)))
def test_whatever_stands_around_it_no_token_of_a_secret_is_left_and_all_others_stay(
    tiny_tokenizer: Any, before: list[str], after: list[str], secret: str, cuts: list[int]
) -> None:
    text = f"{''.join(before)} {secret} {''.join(after)}"
    low, high = text.index(secret), text.index(secret) + len(secret)
    encoded = tiny_tokenizer(text, return_offsets_mapping=True)
    holds = [start < high and end > low for start, end in encoded["offset_mapping"]]
    tokens = list(enumerate(encoded["input_ids"]))  # the logprobs tell a token's place
    ends = sorted({0, len(tokens), *(min(cut, len(tokens)) for cut in cuts)})
    spans = tuple(
        Span("sampled", tuple(encoded["input_ids"][one:two]), tuple(map(float, range(one, two))), f"m{one}", "v")
        for one, two in pairwise(ends)
    )
    redacted, counts = redactor_for(tiny_tokenizer).trajectory(Trajectory(spans))
    assert counts.total() == 1
    pieces = [piece for piece in redacted.spans if piece.origin != "given"]
    kept = [pair for piece in pieces for pair in zip(piece.logprobs, piece.tokens, strict=True)]
    assert kept == [pair for pair, held in zip(tokens, holds, strict=True) if not held]
    assert all(
        f"m{one}" == piece.message for piece in pieces for one, two in pairwise(ends) if one <= piece.logprobs[0] < two
    )
    left = tiny_tokenizer.decode(redacted.ids())
    assert left.replace("[EMAIL]", "").replace("[AWS_ACCESS_KEY]", "") == text.replace(secret, "")


def branch_of(tokenizer: Any, *messages: BaseMessage, **fields: Any) -> Branch:
    """Recorded: what the last answer says was sampled."""
    spoken = span(tokenizer, "sampled", f"{messages[-1].text}<|im_end|>", messages[-1].id)
    outcome = Outcome(True, 1.0, "check")
    return Branch("t", "c", None, messages, "recorded", (Trajectory((spoken,)),), outcome, **fields)


def test_nothing_of_a_message_keeps_a_secret(seed: Any) -> None:
    proposal = {"content": "For jo@x.de", "tool_calls": [], "invalid_tool_calls": []}
    call = {"name": "get_orders", "args": {"email": "jo@x.de", "n": 3}, "id": "1", "type": "tool_call"}
    invalid = {"name": "x", "args": '{"to": "jo\\u0040x.de', "id": "2", "error": None, "type": "invalid_tool_call"}
    messages = [
        HumanMessage([{"type": "text", "text": "I am jo@x.de"}, "or al@x.de"], name="jo@x.de", id="h"),
        AIMessage(
            "Hello jo@x.de",
            id="a",
            tool_calls=[call],
            invalid_tool_calls=[invalid],
            additional_kwargs={"reasoning_content": "jo@x.de it is"},
            response_metadata={
                TRACE_KEY: {"sampled": "am9AeC5kZQ=="},
                EDIT_KEY: {"by": "ann@x.de", "at": "", "proposal": proposal},
                "tools": [{"type": "function", "function": {"name": "f", "description": "ask jo@x.de"}}],
                "logprobs": {"content": [{"token": "jo"}, {"token": "@x.de"}]},
                "model_name": "m",
            },
        ),
        ToolMessage("none of jo@x.de", tool_call_id="1", id="t", artifact={"email": "jo@x.de"}),
        AIMessage("Sorry.", id="b"),
    ]
    labels = (Label("t", None, None, "feedback", "ask jo@x.de", "ann"),)
    branch = branch_of(seed, *messages, labels=labels, metadata={"user": "jo@x.de"}, tools=({"name": "jo@x.de"},))
    redacted, counts = redact_branch(branch, Redactor(kinds=[], also={"EMAIL": ADDRESS}))
    user, answer, result, last = redacted.messages
    assert (user.content, user.name) == ([{"type": "text", "text": "I am [EMAIL]"}, "or [EMAIL]"], "[EMAIL]")
    assert isinstance(answer, AIMessage)
    assert answer.content == "Hello [EMAIL]"
    assert answer.tool_calls == [{**call, "args": {"email": "[EMAIL]", "n": 3}}]
    assert answer.invalid_tool_calls == [{**invalid, "args": '{"to": "[EMAIL]'}]
    assert answer.additional_kwargs == {"reasoning_content": "[EMAIL] it is"}
    assert answer.response_metadata == {
        EDIT_KEY: {"by": "[EMAIL]", "at": "", "proposal": {**proposal, "content": "For [EMAIL]"}},
        "tools": [{"type": "function", "function": {"name": "f", "description": "ask [EMAIL]"}}],
        "model_name": "m",
    }
    assert isinstance(result, ToolMessage)
    assert (result.content, result.tool_call_id, result.artifact) == ("none of [EMAIL]", "1", None)
    assert last == messages[-1]
    assert (redacted.labels[0].value, redacted.metadata) == ("ask [EMAIL]", {"user": "[EMAIL]"})
    assert redacted.tools == ({"name": "[EMAIL]"},)
    assert "@" not in repr(redacted.messages)
    # 3 of the user, 7 of the answer, 1 of the result; without a tokenizer the tokens cannot stay
    assert (counts, redacted.trajectories) == ({"EMAIL": 11}, ())


def test_with_a_tokenizer_the_finds_in_the_tokens_are_counted(seed: Any) -> None:
    branch = branch_of(seed, HumanMessage("I am jo@x.de", id="h"), AIMessage("Hello jo@x.de", id="a"))
    redacted, counts = redact_branch(branch, redactor_for(seed))
    assert [message.content for message in redacted.messages] == ["I am [EMAIL]", "Hello [EMAIL]"]
    assert counts == {"EMAIL": 1}
    assert seed.decode(redacted.trajectories[0].ids()) == "Hello [EMAIL]<|im_end|>"


def test_tokens_of_another_model_are_refused(seed: Any, tiny_tokenizer: Any) -> None:
    branch = branch_of(seed, HumanMessage("I am jo@x.de", id="h"), AIMessage("Hello jo@x.de", id="a"))
    with pytest.raises(
        BadRedaction, match=r"thread 't': its recorded tokens do not write its messages, such as 'jo@x\.de'"
    ):
        redact_branch(branch, redactor_for(tiny_tokenizer))
    with pytest.raises(BadRedaction, match="the tokenizer has no token 999999"):
        redactor_for(seed).trajectory(Trajectory((Span("given", (999_999,)),)))
    with pytest.raises(BadRedaction, match="tokens were to be redacted without a tokenizer"):
        Redactor(kinds=[]).trajectory(Trajectory(()))


def test_sentencepiece_tokens_are_read_too() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    characters = [*"abcdefghijklmnopqrstuvwxyzMJ@.,:()_0123456789[]EAIL", "▁"]
    vocabulary = {
        name: place
        for place, name in enumerate(["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(characters)])
    }
    bpe = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    from tokenizers import normalizers

    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>")
    turn = span(tokenizer, "sampled", "é to jo@x.de 中", "m")
    redacted, _ = redactor_for(tokenizer).trajectory(Trajectory((turn,)))
    assert [text for _, text, _ in shown(tokenizer, redacted.spans)] == ["é to ", "[EMAIL]", " 中"]
