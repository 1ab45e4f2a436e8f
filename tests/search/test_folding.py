"""The words of a text, however it was typed."""

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.search.folding import LONGEST_WORD, fold, words

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
FORMS: list[Literal["NFC", "NFD", "NFKC", "NFKD"]] = ["NFC", "NFD", "NFKC", "NFKD"]


def found(text: str) -> list[str]:
    return [word.text for word in words(fold(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Gọi NHA SĨ ở Đà Nẵng!", "goi nha si o da nang"),
        ("Zahnärzte in der Straße, STRASSE", "zahnarzte in der strasse strasse"),
        ("Œuvre, Łódź, Søren, ılık", "oeuvre lodz soren ilik"),
        ("Ёлка й", "елка и"),
        ("snake_case minh@example.com", "snake case minh example com"),
        ("9:30, 1,000", "9 30 1 000"),
        ("ＦＵＬＬ ｗｉｄｔｈ １２", "full width 12"),
        ("Zahn\u00adarzt a\u200bb", "zahnarzt ab"),  # a soft hyphen, a ZERO WIDTH SPACE
        ("हिन्दी में", "हिन्दी में"),
        ("مُحَمَّد", "مُحَمَّد"),
        ("歯医者", "歯医 医者 者"),
        ("歯 医\n者", "歯医 医者 者"),  # as some transcripts have it
        ("犬", "犬"),
        ("iPhoneを買う", "iphone を買 買う う"),
        ("ｶﾞｽ", "ガス ス"),
        ("か\u3099", "が"),  # decomposed
        ("치과", "치과 과"),
        ("ปวด", "ปว วด ด"),
        ("、。🎉 -_*'\"", ""),
        ("\x00\ud800", ""),
    ],
)
def test_a_text_has_these_words(text: str, expected: str) -> None:
    assert found(text) == expected.split()


def test_marks_that_make_another_word_stay() -> None:
    assert found("か") != found("が")
    assert found("ปา") != found("ป้า")


def test_a_long_word_is_cut() -> None:
    assert found("a" * 70) == ["a" * LONGEST_WORD]


def test_each_letter_of_a_script_without_spaces_takes_a_position() -> None:
    assert [(word.text, word.position) for word in words(fold("行く now"))] == [("行く", 1), ("く", 2), ("now", 3)]


@given(TEXTS)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS, st.sampled_from(FORMS))
def test_every_normal_form_of_a_text_has_the_same_words(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    assert found(unicodedata.normalize(form, text)) == found(text)


@given(TEXTS)
def test_a_word_stands_where_it_says(text: str) -> None:
    folded = fold(text)
    for position, word in enumerate(words(folded), 1):
        assert word.position == position
        assert "".join(folded[word.start : word.end].split()).startswith(word.text)


def test_each_letter_and_digit_of_every_script_is_in_a_word() -> None:
    letters = [chr(code) for code in range(0x110000) if chr(code).isalnum()]
    assert [letter for letter in letters if not found(letter) and fold(letter).isalnum()] == []
