"""What `make docs` does beside MkDocs: pages from the top level, their links, and no word to another host.

README, CONTRIBUTING, CHANGELOG and SECURITY stay where GitHub looks for them, and become pages of the site. A link from
a page to a file that is no page becomes the file's name, because the site holds no source.
"""
# ruff: noqa: INP001 -- no package: MkDocs loads it by its path

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT: Final = Path(__file__).parents[1]
FROM_THE_TOP: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
_LINK: Final = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")
_IN_TABLE: Final = re.compile(r"<td>.*?</td>", re.DOTALL)
_CODE: Final = re.compile(r"(?<=<code>)[^<]+(?=</code>)")
_SEPARATOR: Final = re.compile(r"([/_]+|::)(?=\w)")
# What a browser would fetch by itself: not links that a person follows.
_FETCHED: Final = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"' >]+")
_STYLED: Final = re.compile(
    r"<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?(?:https?:)?//[^\"' >]+"
    r"|url\([\"']?https?://[^)]+\)|@import [\"']https?://[^\"']+"
)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the top level."""
    for source, page in FROM_THE_TOP.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page lead to the pages of the site."""
    folder = ROOT if page.file.src_uri in FROM_THE_TOP.values() else ROOT / "docs"

    def rewritten(found: re.Match[str]) -> str:
        text, path, anchor = found[1], found[2], found[3] or ""
        target = (folder / path).resolve().relative_to(ROOT)
        if str(target) in FROM_THE_TOP:
            return f"[{text}]({FROM_THE_TOP[str(target)]}{anchor})"
        if target.parts[0] == "docs":
            return f"[{text}]({target.relative_to('docs')}{anchor})"
        return f"`{target}`" if text.strip("`") == target.name else f"{text} (`{target}`)"

    return _LINK.sub(rewritten, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Let identifiers in tables wrap behind their slashes, colons and underscores."""
    return _IN_TABLE.sub(lambda cell: _CODE.sub(lambda code: _SEPARATOR.sub(r"\1<wbr>", code[0]), cell[0]), html)


def on_post_build(config: Any) -> None:
    """Fail if a page would fetch anything from another host."""
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in {".html", ".css"}:
            text = file.read_text()
            if found := [*_FETCHED.findall(text), *_STYLED.findall(text)]:
                raise PluginError(f"{file.relative_to(config.site_dir)} fetches from another host: {found[0]}")
