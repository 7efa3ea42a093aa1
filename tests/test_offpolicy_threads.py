"""Screening on stored threads: their decisions are found and scored, and the estimates meet what deploying gives."""

import copy
import json
from dataclasses import replace
from math import log

import pytest
import torch
from conftest import build_tiny
from enumerable_world import ACTIONS, SLOT, CounterSuite, RandomPolicy, chances
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from letter_world import graph_of, write_thread
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.reading import checkpoint_tree
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.where import Where, find_heads, parse_where
from threadmill.cli.main import app
from threadmill.errors import BadEvaluation, BadModelSpec
from threadmill.graphs.run import continue_thread
from threadmill.graphs.travel import fork_thread
from threadmill.nodes.models.slot import Slot
from threadmill.nodes.models.trace import TRACE_KEY, Trace, write_trace
from threadmill.training.branches import stream_branches
from threadmill.training.offpolicy.logged import LoggedEpisode
from threadmill.training.offpolicy.recorded import Decision, Reading, Usable
from threadmill.training.offpolicy.scoring import score_readings
from threadmill.training.offpolicy.screening import screen
from threadmill.training.offpolicy.stored import screen_threads
from threadmill.training.rollout import play
from threadmill.training.slots import open_slot
from typer.testing import CliRunner

SAID = {"temperature": 1.0, "max_new_tokens": 8}


@pytest.fixture
def place(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def spoken(name, new, drawn, before=0, temperature=1.0, node="think", **trace):
    """A message that drew the tokens ``drawn`` after ``new``, each with probability 1/2."""
    made = Trace(f"a.{node}@0001", tuple(new), tuple(drawn), (log(0.5),) * len(drawn), before=before, **trace)
    if "settings" not in trace:
        made = replace(made, settings={**SAID, "temperature": temperature})
    return AIMessage(name, id=name, response_metadata={TRACE_KEY: write_trace(made)})


def read_one(store, thread="t", nodes=None):
    (found,) = stream_branches(store, find_heads(store, Where(thread=thread)), renderer=None)
    usable = Usable(nodes)
    return usable.read(found.branches), dict(usable.left_out)


def test_each_model_call_is_a_decision_with_its_recorded_probability(place):
    said = [HumanMessage("hi", id="h"), spoken("a", [1, 2], [3, 4]), HumanMessage("so?", id="i")]
    write_thread(place, "t", [*said, spoken("b", [5], [6], before=4, temperature=0.5)], task="greet", success=1)
    episode, left_out = read_one(place)
    assert (episode.thread, episode.task, episode.reward, left_out) == ("t", "greet", 1.0, {})
    (reading,) = episode.readings
    #                      h  h  a  a  i  b
    assert reading.ids == (1, 2, 3, 4, 5, 6)
    first, second = reading.decisions
    assert (first.start, first.end, first.temperature, first.place) == (2, 4, 1.0, 1)
    assert (second.start, second.end, second.temperature, second.place) == (5, 6, 0.5, 3)
    assert (first.logprob, second.logprob) == pytest.approx((log(0.25), log(0.5)))


def test_what_a_human_replaced_is_the_decision_and_the_human_is_world(place):
    edit = {"edit": {"by": "ann", "at": "", "proposal": {"content": "", "tool_calls": []}}}
    proposed = spoken("a", [1], [2, 3])
    edited = proposed.model_copy(update={"response_metadata": {**proposed.response_metadata, **edit}})
    after = spoken("b", [7, 8], [9], before=1, human=((0, 1),))
    write_thread(place, "t", [HumanMessage("hi", id="h"), edited, after], success=1)
    episode, _ = read_one(place)
    assert [reading.ids for reading in episode.readings] == [(1, 7, 8, 9), (1, 2, 3)]
    assert [[(one.start, one.end, one.place) for one in each.decisions] for each in episode.readings] == [
        [(3, 4, 2)],
        [(1, 3, 1)],
    ]


def test_a_restart_begins_another_reading(place):
    again = spoken("b", [1, 5], [6], restart=True)
    write_thread(place, "t", [HumanMessage("hi", id="h"), spoken("a", [1], [2]), again], success=0)
    episode, _ = read_one(place)
    assert [reading.ids for reading in episode.readings] == [(1, 2), (1, 5, 6)]
    assert (episode.reward, episode.decisions) == (0.0, 2)


def test_only_the_turns_of_the_candidates_node_are_weighed(place):
    said = [HumanMessage("hi", id="h"), spoken("a", [1], [2], node="plan"), spoken("b", [3], [4], before=2)]
    write_thread(place, "t", said, success=1)
    assert [len(each.decisions) for each in read_one(place)[0].readings] == [2]
    ((only,),) = [each.decisions for each in read_one(place, nodes={"think"})[0].readings]
    assert (only.start, only.end) == (3, 4)
    assert read_one(place, nodes={"act"}) == (None, {"no turn of act": 1})


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (AIMessage("from an API", id="a"), "a turn without recorded tokens"),
        (spoken("a", [1], [2], settings={}), "how it was sampled is not known"),
        (spoken("a", [1], [2], temperature=0.0), "sampled at temperature 0"),
        (spoken("a", [1], [2], settings={**SAID, "top_p": 0.9}), "narrowed by a grammar, top-p, top-k or min-p"),
        (spoken("a", [1], [2], constrained=True), "narrowed by a grammar, top-p, top-k or min-p"),
        (spoken("a", [1], [2], settings={**SAID, "logprobs": "raw"}), "logprobs are raw"),
        (spoken("a", [], [2]), "a turn without recorded tokens"),  # nothing predicts its first token
    ],
)
def test_threads_whose_probabilities_are_not_known_are_left_out(place, turn, reason):
    write_thread(place, "t", [HumanMessage("hi", id="h"), turn], success=1)
    assert read_one(place) == (None, {reason: 1})


def test_unlabelled_threads_and_odd_rewards_are_left_out(place):
    write_thread(place, "t", [HumanMessage("hi", id="h"), spoken("a", [1], [2])])
    assert read_one(place) == (None, {"no reward": 1})
    add_labels(place, [Label("t", None, None, "reward", 1.5, "me")])
    assert read_one(place) == (None, {"a reward outside 0 to 1": 1})


def test_a_copy_counts_once(place):
    for name in ("t1", "t2"):
        write_thread(place, name, [HumanMessage("hi", id="h"), spoken("a", [1], [2])], success=1)
    usable = Usable()
    for read in stream_branches(place, find_heads(place, Where()), renderer=None):
        usable.read(read.branches)
    assert usable.left_out == {"a copy of another thread": 1}


class WithSettings(RandomPolicy):
    """The counter's policy, which also notes how it was sampled."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        made = super()._generate(messages, stop, run_manager, **kwargs)
        noted = made.generations[0].message.response_metadata
        noted["trace"] = {**noted["trace"], "settings": SAID}
        return made


class TableModel(torch.nn.Module):
    """A model that looks at the last token only: in the counter's world that is all there is to know."""

    def __init__(self, policy):
        super().__init__()
        table = torch.full((40, 40), -1e9)
        for last in range(40):
            counter = last - 10 if last >= 7 else 0
            table[last, 20:23] = torch.tensor(policy(counter), dtype=torch.float64).log().float()
        self.table = torch.nn.Embedding.from_pretrained(table)
        self.device = torch.device("cpu")

    def get_output_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask, use_cache):
        return type("Output", (), {"logits": self.table(input_ids)})


def test_played_threads_have_the_ratios_that_the_two_policies_say(place):
    candidate = {0: (0.8, 0.05, 0.15), 1: (0.6, 0.1, 0.3), 2: (0.1, 0.2, 0.7)}

    def likelihoods(counter):
        return candidate[max(0, min(2, counter))]

    suite = CounterSuite()
    slots = {SLOT: Slot.fixed(SLOT, WithSettings(), "counter.think@0001")}
    play(place, suite, suite.tasks("train", 20, 0), slots, trials=1, seed=0, workers=1)
    usable = Usable(frozenset({"think"}))
    reads = stream_branches(place, find_heads(place, Where()), renderer=None)
    found = {read.thread: (usable.read(read.branches), read.branches[-1].messages) for read in reads}
    assert (len(found), usable.left_out) == (20, {})
    for episode, messages in found.values():
        (scores,) = score_readings(TableModel(likelihoods), episode.readings, tokens_at_once=64)
        counter, expected = 0, []
        for message in messages:
            if isinstance(message, ToolMessage):
                counter = int(message.text.removeprefix("at "))
            if isinstance(message, AIMessage):
                action = ACTIONS.index(message.text)
                expected.append(log(likelihoods(counter)[action] / chances(counter)[action]))
        ratios = [now - one.logprob for one, now in zip(episode.readings[0].decisions, scores, strict=True)]
        assert ratios == pytest.approx(expected, abs=1e-5)


def test_decisions_are_scored_at_the_temperature_that_they_were_drawn_with():
    """At temperature 1/2 chances of 0.8, 0.05 and 0.15 are as their squares: 0.64, 0.0025 and 0.0225 of 0.665."""
    model = TableModel(lambda counter: (0.8, 0.05, 0.15))
    reading = Reading((1, 20, 10, 22), (Decision(1, 2, 0.5, 0.0, 1), Decision(3, 4, 1.0, 0.0, 3)))
    ((first, second),) = score_readings(model, [reading], tokens_at_once=9)
    assert (first, second) == pytest.approx((log(0.64 / 0.665), log(0.15)), abs=1e-6)


def test_long_and_short_readings_are_scored_together_as_alone(tiny_model):
    tiny_model.model.norm.weight.data *= 8
    readings = [
        Reading(tuple(range(5, 5 + length)), (Decision(2, length, 0.7, 0.0, 1),)) for length in (4, 30, 3, 17, 30)
    ]
    together = score_readings(tiny_model, readings, tokens_at_once=64)
    alone = [score_readings(tiny_model, [reading], tokens_at_once=1)[0] for reading in readings]
    assert together == [pytest.approx(one, abs=1e-4) for one in alone]
    assert together[0] != together[2]


@torch.inference_mode()
def two_draws(model):
    """The chances of a first token after an opening, and of a second one after each first and a given token."""
    size = model.config.vocab_size
    first = model(input_ids=torch.tensor([[5, 6]])).logits[0, -1].double().softmax(-1)
    rows = torch.tensor([[5, 6, token, 7] for token in range(size)])
    return first, model(input_ids=rows).logits[:, -1].double().softmax(-1)


def draw(chances, count, generator):
    first, second = chances
    ones = torch.multinomial(first, count, replacement=True, generator=generator)
    twos = torch.multinomial(second[ones], 1, generator=generator)[:, 0]
    return ones, twos


def test_estimates_meet_the_value_by_enumeration_and_by_deploying_with_real_models(tiny_tokenizer):
    """Two tokens are drawn; each of those that the candidate is fonder of than the logging model earns a half."""
    logging = build_tiny(tiny_tokenizer)
    logging.model.norm.weight.data *= 8
    candidate = copy.deepcopy(logging)
    candidate.model.norm.weight.data *= torch.linspace(0.4, 1.6, 32)
    was, now = two_draws(logging), two_draws(candidate)
    liked = (now[0] > was[0]).double()
    value = float(now[0] @ liked + now[0] @ (now[1] @ liked)) / 2
    before = float(was[0] @ liked + was[0] @ (was[1] @ liked)) / 2
    assert value - before > 0.04  # there is something to estimate

    chance = torch.Generator().manual_seed(0)
    ones, twos = draw(was, 600, chance)
    readings = [
        Reading(
            (5, 6, a, 7, b),
            (Decision(2, 3, 1.0, float(was[0][a].log()), 1), Decision(4, 5, 1.0, float(was[1][a, b].log()), 3)),
        )
        for a, b in zip(ones.tolist(), twos.tolist(), strict=True)
    ]
    rewards = ((liked[ones] + liked[twos]) / 2).tolist()

    def screened(model):
        episodes = []
        scores = score_readings(model, readings, tokens_at_once=1500)
        for number, (reading, found) in enumerate(zip(readings, scores, strict=True)):
            ratios = [new - one.logprob for new, one in zip(found, reading.decisions, strict=True)]
            episodes.append(LoggedEpisode(f"t{number}", f"t{number}", tuple(ratios), (0.0, rewards[number])))
        return screen(episodes, resamples=500)

    for one in screened(logging).estimates:
        assert one.value == pytest.approx(sum(rewards) / 600, abs=1e-4)
    found = screened(candidate)
    assert found.warnings == ()
    for one in found.estimates:
        assert one.low <= value <= one.high, one
    ones, twos = draw(now, 4000, chance)
    assert float((liked[ones] + liked[twos]).mean()) / 2 == pytest.approx(value, abs=0.022)  # four standard errors


def test_a_model_screened_on_threads_that_it_played_itself_earned_what_it_earned(place, tiny_folder):
    """Through the whole of it: rollout, registry, command."""
    from threadmill.checkpoints.registry import register_version

    for _ in range(2):
        register_version(place, SLOT, tiny_folder, lineage={})
    suite = CounterSuite()
    slots = {SLOT: open_slot(place, SLOT, f"{SLOT}@0001", max_new_tokens=4)}
    played = play(place, suite, suite.tasks("train", 3, 0), slots, trials=2, seed=0)
    assert {trial.finished.met for trial in played} == {0}
    add_labels(place, [Label(trial.finished.thread, None, None, "reward", 0.5, "me") for trial in played[:3]])
    url = f"sqlite:///{place.place}"
    done = CliRunner().invoke(app, ["screen", f"{SLOT}@0002", "--db", url, "--json"])
    said = json.loads(done.stdout)
    assert (said["episodes"], said["tasks"], said["logged"], said["left_out"]) == (6, 3, 0.25, {})
    assert [one["value"] for one in said["estimates"]] == pytest.approx([0.25] * 6, abs=1e-3)
    assert said["decisions"]["mean_log_ratio"] == pytest.approx(0, abs=1e-4)
    assert said["usable"] is False  # six episodes are few
    assert "the gate decides" in said["note"]
    told = CliRunner().invoke(app, ["screen", str(tiny_folder), "--where", "version=counter.think@0001", "--db", url])
    assert "WARNING The effective sample size is 6.0 of 6" in " ".join(told.stdout.split())


def test_threads_that_the_candidate_was_trained_on_are_warned_about(place, tiny_folder):
    from threadmill.checkpoints.data_sets import Source, record_data_set
    from threadmill.checkpoints.registry import register_version

    rows = [Source("train", 0, 0, "t1", "end", "0" * 16)]
    record_data_set(place, digest="d1", kind="sft", folder="data", threads=["t1"], rows=rows)
    register_version(
        place, "a.think", tiny_folder, lineage={"runs": [{"recipe": "sft", "steps": 1, "data": {"digest": "d1"}}]}
    )
    for number in (1, 2):
        write_thread(place, f"t{number}", [HumanMessage("hi", id="h"), spoken("a", [1], [number])], success=1)
    said = screen_threads(place, "a.think@0001", Where())
    assert said.screening.episodes == 2
    assert said.screening.warnings[-1].startswith("The candidate was trained on 1 of these threads, t1 among them")
    unknown = screen_threads(place, str(tiny_folder), Where())
    assert not any("trained on" in warning for warning in unknown.screening.warnings)


@pytest.mark.parametrize("where", [["reward>=0.5"], ["label=success=1"]])
def test_threads_chosen_by_their_outcome_are_refused(place, tiny_folder, where):
    with pytest.raises(BadEvaluation, match="say nothing about what others would have earned"):
        screen_threads(place, str(tiny_folder), parse_where(where))


def test_a_thread_with_branches_is_left_out(place):
    """Somebody saw how one went before another began."""
    write_thread(place, "t", [HumanMessage("hi", id="h"), spoken("a", [1], [2])], success=1)
    graph = graph_of(place)
    first = checkpoint_tree(place, "t")[0].checkpoint
    fork_thread(graph, "t", first)
    continue_thread(graph, "t")
    assert read_one(place) == (None, {"it has branches: somebody chose where to go on": 1})


def test_a_candidate_without_weights_here_or_threads_is_refused(place, tiny_folder):
    with pytest.raises(BadModelSpec, match="weights are needed here"):
        screen_threads(place, "http://host/v1#name", Where())
    with pytest.raises(BadEvaluation, match="none fits the conditions"):
        screen_threads(place, str(tiny_folder), Where())
    write_thread(place, "t", [HumanMessage("hi", id="h"), spoken("a", [1], [99_999])], success=1)
    with pytest.raises(BadEvaluation, match=r"the threads hold the token 99999, but .* has 971 tokens"):
        screen_threads(place, str(tiny_folder), Where())
    with pytest.raises(BadEvaluation, match="1 threads: no turn of act"):
        screen_threads(place, str(tiny_folder), Where(nodes=("act",)))
