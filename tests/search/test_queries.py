"""What a query finds of texts in many languages, and what it must not find: through the whole service."""

import itertools
import unicodedata
from typing import Any, Final

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.searching import INDEXED
from tests.waiting import until_found

TEXTS: Final[dict[str, str]] = {
    "vi": "Nhắc tôi gọi nha sĩ lúc chín giờ sáng mai.",
    "vi city": "Tôi đang ở Đà Nẵng, mai ra Huế.",
    "vi nfd": unicodedata.normalize("NFD", "Đặt lịch khám răng ở bệnh viện, đừng quên."),
    "vi plain": "nhac toi mua sua cho be",
    "vi tone": "Chị Hoà, con của anh Hòa.",
    "en": "Remind me to call the dentist tomorrow at nine.",
    "en many": "The dentists don't answer; Dr. O'Neil re-scheduled.",
    "en accents": "A naïve café owner wrote her résumé.",
    "en numbers": "Flight VN123 leaves at 9:30 and costs 1,250.50 dollars, not 12505.",
    "en address": "Write to minh.nguyen@example.com or see https://verbatim.example/docs/search?id=42#top.",
    "en emoji": "🎉 Party❤️time 👩‍👩‍👧 tonight!",
    "en code": "It calls reschedule_task(goal_id).",
    "en long": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogochuchafisaf" + "x" * 30,
    "th": "ฉันปวดฟันมาก ต้องไปหาหมอฟันพรุ่งนี้",
    "th mother": "โทรหาแม่ตอนเก้าโมงเช้า",
    "th aunt": "ป้าอยู่บ้าน",
    "th throw": "ปาลูกบอล",
    "ja": "明日の午前九時に歯医者に電話するように思い出させてください。",
    "ja kana": "すしとビールをください",
    "ja half width": "ﾋﾞｰﾙを飲む",
    "ja spaced": "寿司 を 予約 する",
    "ja dog": "これは犬",
    "zh": "提醒我明天早上九点给牙医打电话。",
    "zh spaced": "我 想 预约 餐厅",
    "ko": "내일 아침 아홉 시에 치과에 전화해 주세요.",
    "ko nfd": unicodedata.normalize("NFD", "병원 예약을 취소해 줘"),
    "de": "Ruf bitte den Zahnarzt in der Hauptstraße an.",
    "de capitals": "ZAHNÄRZTE IN DER GROSSEN STRASSE, HERR MÜLLER.",
    "fr": "L'œuvre d'Éloïse est à l'hôpital ; ça va.",
    "pl": "Zażółć gęślą jaźń w Łodzi.",
    "tr": "Yarın İstanbul'da ılık bir gün.",
    "ru": "Напомни позвонить стоматологу в Йошкар-Оле ещё раз.",
    "ar": "ذكّرني بالاتصال بطبيب الأسنان غدًا",
    "hi": "मुझे कल दंत चिकित्सक को फ़ोन करना है",
    "el": "Πάρε τηλέφωνο τον οδοντίατρο.",
    "mixed": "iPhone 15を買うのをリマインドして",
}
FUNCTIONS: Final[dict[str, dict[str, Any]]] = {
    "call": {
        "content": '{"title": "G\\u1ecdi nha s\\u0129 Lan", "minutes": 45, "urgent": true, "notes": null}',
        "metadata": {"name": "create_task", "state": "requested", "call_id": "call_zebra"},
    },
    "answer": {"content": "Booked.", "metadata": {"name": "find_dentist", "arguments": {"district": ["Ba Đình"]}}},
}

READER: Final = "minh"  # whose texts these are

# A query, and the names of all texts that it finds.
QUERIES: Final[list[tuple[str, str]]] = [
    # Vietnamese
    ("nha sĩ", "vi, call"),
    ("nha si", "vi, call"),
    ("NHA SI", "vi, call"),
    (unicodedata.normalize("NFD", "nha sĩ"), "vi, call"),
    ("nhac toi", "vi, vi plain"),
    ("nhắc tôi mua", "vi plain"),
    ('"gọi nha sĩ"', "vi, call"),
    ('"nha sĩ gọi"', ""),
    ("đà nẵng", "vi city"),
    ("da nang", "vi city"),
    ("Đừng quên", "vi nfd"),
    ("dat lich kham", "vi nfd"),
    ("hòa", "vi tone"),
    ("mai -hue", "vi"),
    ("sữa", "vi plain"),
    ("gi", ""),
    # English
    ("dentist", "en, answer"),
    ("DENTIST tomorrow", "en"),
    ("dentist*", "en, en many, answer"),
    ("denti", ""),
    ('"call the dentist"', "en"),
    ('"call dentist"', ""),
    ('"the dent*"', "en, en many"),
    ("don't", "en many"),
    ("don’t", "en many"),
    ("o'neil", "en many"),
    ("rescheduled", ""),
    ("re-scheduled", "en many"),
    ('call -"the dentist"', ""),
    ("naive cafe resume", "en accents"),
    ("naïve CAFÉ", "en accents"),
    ("the -dentist -dentists", ""),
    # Numbers, addresses, emoji, names in programs
    ("vn123", "en numbers"),
    ("9:30", "en numbers"),
    ("1,250.50", "en numbers"),
    ("12505", "en numbers"),
    ("930", ""),
    ("minh.nguyen@example.com", "en address"),
    ("nguyen", "en address"),
    ("nguyen.minh@example.com", ""),
    ("https://verbatim.example/docs/search?id=42#top", "en address"),
    ("verbatim.example", "en address"),
    ("example docs", "en address"),
    ("party❤time", "en emoji"),
    ("tonight 🎉", "en emoji"),
    ("reschedule_task", "en code"),
    ("goal", "en code"),
    ("create_task", "call"),
    ("45 lan", "call"),
    ("ba dinh", "answer"),
    ("true", ""),
    ("zebra", ""),
    ("Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogochuchafisaf", "en long"),
    ("Llanfair*", "en long"),
    # Thai
    ("ปวดฟัน", "th"),
    ("หมอฟัน", "th"),
    ("หมอ ฟัน", "th"),
    ("ฟัน", "th"),
    ("แม่", "th mother"),
    ("ไปหาหมอฟันพรุ่งนี้", "th"),
    ("ป้า", "th aunt"),
    ("ปา", "th throw"),
    ("หมอ -ฟัน", ""),
    # Japanese
    ("歯医者", "ja"),
    ("医者に電話", "ja"),
    ("医者 電話", "ja"),
    ("電話医者", ""),
    ("犬", "ja dog"),
    ("猫", ""),
    ("すし", "ja kana"),
    ("ビール", "ja kana, ja half width"),
    ("ﾋﾞｰﾙ", "ja kana, ja half width"),
    ("寿司", "ja spaced"),
    ("寿司を予約", "ja spaced"),
    ("ください -ビール", "ja"),
    ("“歯医者に電話”", "ja"),
    ("iphone 買う", "mixed"),
    ("15を買う", "mixed"),
    ("ｉＰｈｏｎｅ　１５", "mixed"),
    # Chinese
    ("牙医", "zh"),
    ("医牙", ""),
    ("预约", "zh spaced"),
    ("预约餐厅", "zh spaced"),
    ("我", "zh, zh spaced"),
    ("明天", "zh"),
    # Korean
    ("치과", "ko"),
    ("치과에 전화", "ko"),
    ("예약", "ko nfd"),
    (unicodedata.normalize("NFD", "예약"), "ko nfd"),
    ("병원예약", "ko nfd"),
    # German and others
    ("hauptstrasse", "de"),
    ("HAUPTSTRAẞE", "de"),
    ("zahnarzt*", "de, de capitals"),
    ("Zahnärzte große*", "de capitals"),
    ("große strasse", ""),
    ("großen straße", "de capitals"),
    ("muller", "de capitals"),
    ("oeuvre d'eloise", "fr"),
    ("hôpital", "fr"),
    ("zazolc lodzi", "pl"),
    ("istanbul", "tr"),
    ("ilik gun", "tr"),
    ("еще раз", "ru"),
    ("йошкар", "ru"),
    ("ذكّرني", "ar"),
    ("طبيب", ""),
    ("फ़ोन", "hi"),
    ("τηλεφωνο", "el"),
    # Operators that are no operators here
    ("dentist & tomorrow", "en"),
    ("dentist | tomorrow", "en"),
    ("dentist <-> tomorrow", "en"),
    ("(dentist) !tomorrow:*", "en"),
    ("'dentist':* \\' %", "en, answer"),
    ('dentist "tomorrow', "en"),
    ('"" dentist -', "en, answer"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def named(shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection) -> dict[str, str]:
    """The texts in one conversation, and the name of each by the id of its message."""
    conversation = await shared_connection.fetchval(
        "INSERT INTO conversations (context_type, user_id) VALUES ('voice', $1) RETURNING id", READER
    )
    said = {name: {"role": "user", "content": text} for name, text in TEXTS.items()}
    said |= {name: {"role": "function", **fields} for name, fields in FUNCTIONS.items()}
    bodies = [{"conversation_id": str(conversation), **fields} for fields in said.values()]
    answer = await shared_service.post("/api/v1/voice/messages/batch", json={"messages": bodies})
    await until_found(shared_connection, INDEXED)
    ids = [result["message"]["id"] for result in answer.json()["results"]]
    return dict(zip(ids, said, strict=True))


@pytest.mark.parametrize("whose", [{}, {"user_id": READER}], ids=["of all", "of one"])
@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=itertools.count())
async def test_a_query_finds_these_texts_and_no_others(
    shared_service: httpx.AsyncClient, named: dict[str, str], whose: dict[str, str], query: str, expected: str
) -> None:
    answer = await shared_service.get("/api/v1/search", params={"q": query, **whose})
    assert answer.status_code == 200, answer.text
    found = {named[hit["message"]["id"]] for hit in answer.json()["data"]}
    assert found == set(filter(None, expected.split(", ")))
    for hit in answer.json()["data"]:
        assert hit["ranges"] or hit["message"]["role"] == "function"
