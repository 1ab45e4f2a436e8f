"""A small corpus, searched and posted to, so that the measurement cannot rot. Other tests run beside it."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks import search_corpus

pytestmark = pytest.mark.benchmark


def test_a_corpus_is_made_searched_and_posted_to(tmp_path: Path) -> None:
    console = Console(record=True, quiet=True)
    search_corpus.build(tmp_path, 2_000, console)
    search_corpus.searches(tmp_path, 1, console)
    search_corpus.posts(tmp_path, 1, 0.3, console)
    said = console.export_text()
    assert "2,000 messages" in said
    assert "service: p95" in said
    assert "posts a second:" in said
