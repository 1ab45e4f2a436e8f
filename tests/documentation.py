"""The documentation as the tests read it: its pages, and the blocks in them.

A block of a shell is typed by a test, unless the line before it is the comment `<!-- not run: why -->`.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
_GLOBS: Final = ("*.md", "docs/**/*.md", "deploy/**/*.md", "clients/*/*.md")
PAGES: Final[dict[str, str]] = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted(path for glob in _GLOBS for path in ROOT.glob(glob))
}
_BLOCK: Final = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A block of code; ``excuse`` says why no test runs it, None if one must."""

    page: str
    language: str
    text: str
    excuse: str | None


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the blocks of ``page`` in their order, those of one ``language`` if it is named."""
    found = [Block(page, kind, text, excuse or None) for excuse, kind, text in _BLOCK.findall(PAGES[page])]
    return [block for block in found if language in {None, block.language}]


def every_block() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in blocks(page)]


def prose(page: str) -> str:
    """Return ``page`` without its blocks."""
    return _BLOCK.sub("", PAGES[page])


def anchors(page: str) -> set[str]:
    """Return what a link may name behind `#`, as GitHub makes it of the headings."""
    headings = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the tables in the section below ``heading``, each a list of cells, without the head rows."""
    _, found, after = PAGES[page].partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading}"
    level = heading.partition(" ")[0]
    section = re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]
    return rows(section)


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables in ``text``, without the head rows."""
    lines = text.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else [] for line in lines]
    heads = {place for place, line in enumerate(lines[1:]) if re.fullmatch(r"\|( *:?-+:? *\|)+", line)}
    return [row for place, row in enumerate(cells) if row and not {place, place - 1} & heads]
