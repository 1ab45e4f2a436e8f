"""Replaying a file that a stranger made: a sentence, and neither the memory nor the terminal filled."""

import gzip
import json
import os
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path

import pytest

from backend.cli import main, spools
from backend.replay.source import LONGEST_LINE, LONGEST_REST, MOST_REPORTED, Dialogue, Source
from backend.replay.tally import Tally

MIB = 2**20
GOOD = json.dumps({"dialogue_id": "good", "events": [{"type": "ConversationText", "role": "user", "content": "Hi."}]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dialogues"


def read(path: Path) -> tuple[list[Dialogue], Tally, list[str]]:
    """Return the dialogues in the file, the tally and the complaints."""
    tally, complaints = Tally(), list[str]()
    with Source(path, tally) as source:
        return list(source.dialogues(complaints.append)), tally, complaints


def measure(path: Path) -> tuple[list[Dialogue], Tally, list[str], int]:
    """The same, and the most memory that it took, in bytes; to trace that takes five times as long."""
    tracemalloc.start()
    try:
        return *read(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compressed", [True, False])
def test_a_line_that_is_too_long_is_passed_over_and_the_next_is_read(path: Path, *, compressed: bool) -> None:
    bomb = b'{"dialogue_id": "bomb", "events": [%b0]}\n' % (b"[]," * (8 * MIB // 3))
    content = bomb + GOOD.encode()
    path.write_bytes(gzip.compress(content) if compressed else content)
    dialogues, tally, complaints, memory = measure(path)
    assert [dialogue.name for dialogue in dialogues] == ["good"]
    assert complaints == [f"Line 1 is longer than {LONGEST_LINE:,} bytes."]
    assert (tally.malformed, tally.complete) == (1, False)
    assert memory < 32 * MIB  # the lists alone would take 160 MiB


def test_a_line_without_end_is_read_up_to_a_bound(path: Path) -> None:
    path.write_text(GOOD + "\n")
    os.truncate(path, 2**40)  # a hole, which takes no room on the disk
    dialogues, tally, _, memory = measure(path)
    assert [dialogue.name for dialogue in dialogues] == ["good"]
    assert (
        tally.trouble == f"Line 2 has no end within {LONGEST_LINE + LONGEST_REST:,} bytes; nothing from there was sent."
    )
    assert memory < 32 * MIB


def test_a_compressed_line_without_end_is_read_up_to_a_bound(path: Path) -> None:
    squeeze = zlib.compressobj(wbits=31)
    with path.open("wb") as file:
        for _ in range(100):
            file.write(squeeze.compress(bytes(MIB)))
        file.write(squeeze.flush())
    assert path.stat().st_size < 110_000
    _, tally, _, memory = measure(path)
    assert tally.trouble is not None
    assert tally.trouble.startswith("Line 1 has no end within")
    assert memory < 32 * MIB


def test_a_line_that_stands_for_more_messages_than_a_call_is_malformed(path: Path) -> None:
    many = {"type": "FunctionCallRequest", "functions": [0] * 1_001}
    call = {"type": "FunctionCallRequest", "functions": [0] * 1_000}
    lines = [json.dumps({"dialogue_id": "x", "events": events}) for events in ([many], [call] * 102)]
    path.write_text("\n".join([*lines, GOOD]))
    dialogues, tally, complaints = read(path)
    assert [dialogue.name for dialogue in dialogues] == ["good"]
    assert tally.malformed == 2
    assert all("holds more than 1,000 functions in an event or 100,000 messages" in each for each in complaints)


def test_short_messages_take_memory_by_their_length(path: Path) -> None:
    path.write_text(json.dumps({"dialogue_id": "many", "events": [{"type": "ConversationText"}] * 20_000}))
    [dialogue], _, _, memory = measure(path)
    assert len(dialogue.messages) == 20_000
    assert memory < 20_000 * 1_000


def test_complaints_end_and_the_count_goes_on(path: Path) -> None:
    path.write_text("no dialogue\n" * 5_000 + GOOD)
    dialogues, tally, complaints = read(path)
    assert len(dialogues) == 1
    assert tally.malformed == 5_000
    assert len(complaints) == MOST_REPORTED + 1
    assert complaints[-1] == "Further malformed lines are only counted."


def test_a_pipe_is_read_from_its_first_byte(path: Path) -> None:
    os.mkfifo(path)
    writing = threading.Thread(target=path.write_text, args=(GOOD,), daemon=True)
    writing.start()
    assert spools.is_spool(path) is False
    dialogues, tally, _ = read(path)
    assert [dialogue.name for dialogue in dialogues] == ["good"]
    assert tally.complete


WHOLE = gzip.compress(GOOD.encode() + b"\n")
BROKEN = {
    "two bytes": WHOLE[:2],
    "cut in the header": WHOLE[:7],
    "cut": WHOLE[:-12],
    "cut in the checksum": WHOLE[:-3],
    "corrupt": WHOLE[:20] + b"\xff" * 8 + WHOLE[28:],
    "of another checksum": WHOLE[:-8] + b"1234" + WHOLE[-4:],
    "of another method": WHOLE[:2] + b"\x09" + WHOLE[3:],
    "with something behind it": WHOLE + b"something",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_compressed_file_that_is_broken_is_a_sentence_and_exits_with_1(
    content: bytes, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(content)
    _, tally, _ = read(path)
    assert tally.trouble is not None
    assert tally.trouble.startswith(f"{path} is damaged or cut off after line ")
    if tally.malformed or content.startswith(WHOLE[:20]):
        return  # the command would send the first line
    monkeypatch.setattr(sys, "argv", ["verbatim", "replay", str(path), "--url", "http://127.0.0.1:9"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert capsys.readouterr().err == f"verbatim: {tally.trouble}\n"
