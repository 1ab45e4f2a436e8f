"""The query language: what is typed, as terms and as a tsquery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Invalid
from backend.search.query import parse, tsquery


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Nha sĩ", "('nha') & ('si')"),
        ('"nha  sĩ"', "('nha' <1> 'si')"),
        ("“nha sĩ” «gọi»", "('nha' <1> 'si') & ('goi')"),
        ("a -b -“c d”", "('a') & !('b') & !('c' <1> 'd')"),
        ("a - b", "('a') & ('b')"),
        ("a-b", "('a' <1> 'b')"),
        ("a－b", "('a' <1> 'b')"),
        ("－b a", "!('b') & ('a')"),
        ("--b a", "!('b') & ('a')"),
        ('a"b c', "('a') & ('b' <1> 'c')"),
        ("den*", "('den':*)"),
        ('"the den*"', "('the' <1> 'den':*)"),
        ("de* n", "('de':*) & ('n')"),
        ("d*n", "('d' <1> 'n')"),
        ("* a", "('a')"),
        ("歯医者", "('歯医' <1> '医者')"),
        ("歯医者*", "('歯医' <1> '医者')"),
        ("犬", "('犬':*)"),
        ('"犬 猫"', "('犬猫')"),
        ("犬 猫", "('犬':*) & ('猫':*)"),
        ("iPhoneを買う", "('iphone' <1> 'を買' <1> '買う')"),
        ("買う2回", "('買う' <2> '2' <1> '回':*)"),
        ("a'b \\ ''", "('a' <1> 'b')"),
        ("a & !b | c:*", "('a') & ('b') & ('c')"),
    ],
)
def test_what_is_typed_becomes_this_query(typed: str, expected: str) -> None:
    assert tsquery(parse(typed)) == expected


def test_of_facts_each_must_be_one_of_those_named() -> None:
    assert tsquery(parse("a"), [":x"], [":y", ":z"]) == "(':x') & (':y' | ':z') & ('a')"


@given(st.text(max_size=200))
def test_every_text_is_a_query_of_quoted_words_or_refused(typed: str) -> None:
    try:
        terms = parse(typed)
    except Invalid as refused:
        assert [fault.pointer for fault in refused.faults] == ["/query/q"]  # noqa: PT017
    else:
        for term in terms:
            assert term.steps
            assert not {"'", "\\", '"', ":", " "} & set("".join(step.text for step in term.steps))
