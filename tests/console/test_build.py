"""What is committed is what the sources say, and small."""

import gzip
from pathlib import Path

from tests.console import build

KILOBYTE = 1000


def test_the_sources_satisfy_the_compiler_and_their_tests() -> None:
    build.check()


def test_what_is_committed_is_built_of_the_sources(tmp_path: Path) -> None:
    build.build(tmp_path)
    assert read(tmp_path) == read(build.COMMITTED), "run `make console`, and commit what it writes"


def test_script_and_style_are_small() -> None:
    sizes = {suffix: sum(map(compressed, build.COMMITTED.glob(f"*{suffix}"))) for suffix in (".js", ".css")}
    assert 0 < sizes[".js"] <= 60 * KILOBYTE
    assert 0 < sizes[".css"] <= 12 * KILOBYTE


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (build.SOURCES / "package-lock.json").read_text()


def read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def compressed(file: Path) -> int:
    return len(gzip.compress(file.read_bytes()))
