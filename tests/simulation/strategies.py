"""What hypothesis chooses from: users' wishes, faults of the network, mishaps."""

from __future__ import annotations

from hypothesis import strategies as st

from imagen_nb.storage.tags import make_rating_change, make_tag_change
from tests.simulation.network import Fault

OWN, ALL = ("one", "two"), ("one", "two", "stranger")
LABELS = ('a,"b"', "keeper", "reject")
PROMPTS = ("a boat", "a boat!")  # one slug: pictures of the same names

machines = st.sampled_from(ALL)
pictures = st.integers(0, 5)
changes = st.one_of(
    st.builds(lambda tag: make_tag_change(add=[tag]), st.sampled_from(LABELS)),
    st.builds(lambda tag: make_tag_change(remove=[tag]), st.sampled_from(LABELS)),
    st.builds(make_rating_change, st.sampled_from([None, 2, 5])),
)
tagging = st.lists(st.tuples(pictures, changes), max_size=2)
steps = st.none() | st.integers(0, 40)  # that a process lives
_answers = st.sampled_from(["cut", "503", "429", "empty", "foreign", "silence", "death"])
faults = st.one_of(
    st.builds(Fault, _answers, st.sampled_from(["now", "never"])),
    st.builds(Fault, st.sampled_from(["silence", "death"]), st.integers(1, 12)),
    st.just(Fault("expired")),
)
plans = st.dictionaries(st.integers(0, 12), faults, max_size=4)
mishaps = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "lose_catalog",
                "late_requests_arrive",
                "end_sessions",
                "stranger_takes_an_id",
                "stranger_claims_a_path",
                "verify_and_repair",
            ]
        ),
        st.just(()),
    ),
    st.tuples(st.just("reindex"), st.tuples(steps)),
    st.tuples(st.just("copy_pictures"), st.tuples(machines)),
    st.tuples(st.just("lose_copy"), st.tuples(st.sampled_from(["row", "object", "bytes"]))),
)
