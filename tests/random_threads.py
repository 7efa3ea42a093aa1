"""What may happen in the lives of threads: the names and arguments of the methods of ``overheard_threads.Life``."""

from hypothesis import strategies as st
from overheard_model import Says
from overheard_threads import LOOK, PAY_8, PAY_9, THINK, V1, V2, call_of
from threadmill.nodes import Budget, Memory

PICK = st.integers(0, 30)
"""Which of whatever there is."""
TEXTS = st.sampled_from(["hi", "pay!", "no <|im_end|> please"])
SAYS = st.sampled_from(
    [
        *(Says(text) for text in (LOOK, PAY_8, PAY_8 + PAY_9, "Wait." + LOOK + PAY_8, THINK + PAY_8, THINK + "Yes.")),
        *(Says(text) for text in (call_of("pay", '{"amount": "much"}'), call_of("steal", "{}"), "<tool_call>\npay")),
        *(Says(PAY_8, letters=True), Says("Well", ends=False), Says(LOOK, ends=False), Says(None), Says("")),
    ]
)
SCRIPTS = st.lists(SAYS, min_size=1, max_size=3).map(tuple)
DECISIONS = st.lists(
    st.sampled_from(
        [
            {"type": "approve"},
            {"type": "edit", "args": {"amount": 2}},
            {"type": "reject", "text": "no"},
            {"type": "respond", "text": "paid by hand"},
        ]
    ),
    min_size=3,
    max_size=3,
)
DEATHS = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.sampled_from(["put", "put_writes"]), st.integers(1, 6)),
    st.tuples(st.just("tool"), st.integers(1, 2)),
    st.just(("model", 1)),
)
"""Where the process dies, if it does, and at the how manieth time; a model that is down only stops the run."""
TALKS = st.tuples(st.just("talk"), st.just(0), TEXTS, SCRIPTS, DECISIONS)
STEPS = st.one_of(
    st.tuples(st.just("say"), PICK, TEXTS, SCRIPTS, st.sampled_from([1.0, 0.7]), DEATHS),
    st.tuples(st.just("talk"), PICK, TEXTS, SCRIPTS, DECISIONS),
    st.tuples(st.just("talk"), PICK, TEXTS, SCRIPTS, DECISIONS),
    st.tuples(st.just("answer"), PICK, DECISIONS, SCRIPTS, DEATHS),
    st.tuples(st.just("go_on"), PICK, SCRIPTS),
    st.tuples(st.just("fork"), PICK, PICK, SCRIPTS),
    st.tuples(st.just("rewrite"), PICK, PICK, PICK, TEXTS),
    st.tuples(st.just("forget"), PICK, st.integers(1, 3)),
    st.tuples(st.just("show"), st.sampled_from([None, 1, 2, 4])),
    st.tuples(st.just("replay"), PICK, PICK, st.sampled_from([None, V1, V2]), SCRIPTS),
    st.tuples(st.just("replay_recorded"), PICK, PICK, st.sampled_from([None, V1, V2]), SCRIPTS),
    st.tuples(st.just("copy"), PICK),
    st.tuples(st.just("promote"), st.sampled_from([V1, V2])),
)
VIEWED = st.one_of(STEPS, STEPS, st.tuples(st.just("remember"), st.integers(0, 2)), TALKS)
VIEWED_LIVES = st.lists(VIEWED, min_size=5, max_size=14)
SETTINGS = st.fixed_dictionaries(
    {
        "budget": st.sampled_from([100, 150, 250]).map(lambda tokens: Budget(tokens=tokens)),
        "memory": st.sampled_from([None, Memory(namespace=("facts",))]),
        "mark": st.booleans(),
        "max_chars": st.sampled_from([None, 25]),
    }
)
"""What changes what the model sees of its thread."""
LIVES = st.lists(STEPS, min_size=4, max_size=10)
