"""What documentation and error texts tell people to install is ours: the name `verbatim` on PyPI is somebody else's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A distribution of ours, this checkout or a folder of it, or a wheel that was built from it.
OURS = re.compile(r"(verbatim-(server|record)|\.|clients/python)(\[[\w,]+\])?|\S*verbatim_(server|record)-\S*\.whl")
TEXTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "backend").rglob("*.py"),
        *(ROOT / "clients/python").rglob("*.py"),
    ]
)


def installed(text: str) -> Iterator[str]:
    """Yield what each `pip install` in ``text`` names, without its options and the files that these name."""
    for command in re.findall(r"\bpip install +(.+)", text):
        words = iter(re.split(r"[`;|)]|&&|(?<!^)#", command)[0].replace("\\", " ").split())
        for word in words:
            if word in {"-r", "--requirement", "-c", "--constraint"}:
                next(words, None)
            elif not word.startswith("-"):
                yield word.strip("'\"").rstrip(",:").removesuffix("'")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_people_are_told_to_install_is_ours(path: Path) -> None:
    assert [name for name in installed(path.read_text()) if not OURS.fullmatch(name)] == []


def test_the_names_after_an_install_are_found() -> None:
    text = """
        Run `pip install 'verbatim[redis]'` first, and `pip install --require-hashes -r requirements.lock`.
        python -m pip install --no-deps dist/verbatim_server-0.2.0-py3-none-any.whl && verbatim serve
        raise ImportError("pip install 'verbatim-record[pipecat]'") from error
        pip install verbatim httpx  # two
    """
    assert [*installed(text)] == [
        "verbatim[redis]",
        "dist/verbatim_server-0.2.0-py3-none-any.whl",
        "verbatim-record[pipecat]",
        "verbatim",
        "httpx",
    ]
