"""Where in a text a query was found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.search.folding import fold, words
from backend.search.query import parse
from backend.search.snippets import MOST_RANGES, _clusters, ranges

# Letters that fold to more, to fewer, or to others with their neighbours.
LETTERS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("aßﬁ㌔½đ゙́̀がかㅏㄱ각각ﾞｶ\u200b\u200c\ufe0f ")),
    max_size=30,
)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Gọi nha sĩ, nha sĩ!", "nha", ["nha", "nha"]),
        ("Gọi nha sĩ, nha sĩ!", '"nha si"', ["nha sĩ", "nha sĩ"]),
        ("Gọi nha sĩ", "si nha -goi", ["nha", "sĩ"]),
        ("🎉🎉 Straße STRASSE", "strasse", ["Straße", "STRASSE"]),
        ("e\u0301te\u0301 été", "ete", ["e\u0301te\u0301", "été"]),
        ("Zahnärzte", "zahn*", ["Zahnärzte"]),
        ("明日歯医者に歯医者", "歯医者", ["歯医者", "歯医者"]),
        ("歯 医 者", "歯医者", ["歯 医 者"]),
        ("犬と犬", "犬", ["犬", "犬"]),
        ("ｶﾞｽﾋﾞｰﾙ", "ビール", ["ﾋﾞｰﾙ"]),
        ("aaa aaa", "aaa", ["aaa", "aaa"]),
        ("x" * 70 + " y", "x" * 70, ["x" * 70]),
        ("nothing", "here", []),
    ],
)
def test_what_was_found_is_marked_in_the_original(text: str, query: str, marked: list[str]) -> None:
    assert [text[start:end] for start, end in ranges(text, parse(query))] == marked


def test_ranges_are_bounded_in_number() -> None:
    assert ranges("a b " * 1000, parse("a")) == [[4 * n, 4 * n + 1] for n in range(MOST_RANGES)]


@given(LETTERS)
def test_a_text_folds_as_its_clusters_do(text: str) -> None:
    assert "".join(fold(cluster) for _, cluster in _clusters(text)) == fold(text)
    assert "".join(cluster for _, cluster in _clusters(text)) == text


@given(LETTERS)
def test_every_word_of_a_text_is_found_where_it_stands(text: str) -> None:
    for word in words(fold(text)):
        found = ranges(text, parse(word.text))
        assert found
        assert all(0 <= start < end <= len(text) for start, end in found)
        assert any(word.text[0] in fold(text[start:end]) for start, end in found)
