"""Test names both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput
from fieldlab.workflows.perftest.parameters import TestName

NAMES = st.builds(
    TestName,
    duration_secs=st.integers(1, 10**6),
    datalen_bytes=st.integers(0, 10**7),
    pub_count=st.integers(1, 1000),
    sub_count=st.integers(1, 1000),
    use_reliable=st.booleans(),
    use_multicast=st.booleans(),
    durability_level=st.integers(0, 3),
    latency_count=st.integers(1, 10**6),
)


@given(NAMES)
def test_names_parse_back_in_both_spellings(name: TestName) -> None:
    assert TestName.parse(str(name)) == name
    assert TestName.parse(name.short()) == name
    assert TestName.of(name.point()) == name


def test_the_two_spellings() -> None:
    name = TestName.parse("300SEC_128000B_1P_3S_BE_MC_2DUR_100LC")
    assert str(name) == "300SEC_128000B_1PUB_3SUB_BE_MC_2DUR_100LC"
    assert name.short() == "300SEC_128000B_1P_3S_BE_MC_2DUR_100LC"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' stands where 300SEC should"),
        ("300SEC_100B_1PUB", "it has 3 parts, and must have 8"),
        ("300SEC_100B_1PUB_3SUBS_REL_MC_0DUR_100LC", "'3SUBS' stands where 3SUB should"),
        (
            "300SEC_100B_1PUB_3SUB_RELIABLE_MC_0DUR_100LC",
            "'RELIABLE' stands where REL or BE should",
        ),
        ("300SEC_100B_0PUB_3SUB_REL_MC_0DUR_100LC", "pub_count must be an integer of at least 1"),
        ("300SEC_100B_1PUB_3SUB_REL_MC_7DUR_100LC", "durability_level must be an integer from 0"),
        ("300SEC_100B_1PUB_3SUB_REL_MC_0DUR_100LC_x", "it has 9 parts"),
        ("300SEC_100B_1PUB_3SUB_REL_MC_0DUR_100LC\n", r"'100LC\n' stands where 100LC should"),
        (" 300SEC_100B_1PUB_3SUB_REL_MC_0DUR_100LC", "' 300SEC' stands where 300SEC should"),
        (f"{'9' * 5000}SEC_100B_1P_3S_REL_MC_0DUR_100LC", "999…' stands where 300SEC should"),
    ],
)
def test_what_is_no_name_is_told_where(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        TestName.parse(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


PARTS = [
    st.integers(0, 10**30).map("{}SEC".format),
    st.integers(0, 10**30).map("{}B".format),
    st.integers(0, 10**30).map("{}PUB".format),
    st.integers(0, 10**30).map("{}S".format),
    st.sampled_from(["REL", "BE", "be\n"]),
    st.sampled_from(["MC", "UC", ""]),
    st.integers(0, 10**30).map("{}DUR".format),
    st.integers(0, 10**30).map("{}LC".format),
]


@given(st.text() | st.tuples(*(each | st.text(max_size=3) for each in PARTS)).map("_".join))
def test_any_text_is_a_name_or_bad_input(text: str) -> None:
    try:
        name = TestName.parse(text)
    except BadInput:
        return
    assert text == text.strip()
    assert TestName.parse(str(name)) == name
