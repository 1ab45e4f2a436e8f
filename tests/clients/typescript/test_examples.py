"""The code that the pages and `examples/expo` show is right: the compiler has the package and Expo's own types."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.clients.typescript.npm import NODE, NPM, PACKAGE, run
from tests.conftest import serving
from tests.documentation import PAGES, ROOT, blocks

pytestmark = pytest.mark.usefixtures("package")

EXPO: Final = ROOT / "examples" / "expo"
# What the blocks of a page take from the app around them.
AROUND: Final = """
declare const api: string;
declare const token: () => Promise<string>;
declare const socket: WebSocket;
declare const play: (audio: ArrayBuffer) => void;
declare const stopPlaying: () => void;
declare const record: (take: (audio: ArrayBuffer) => void) => void;
declare const conversation: string;
"""
# The same for the first example of a phone, which Node runs: its socket says three things as soon as it has a listener.
IN_NODE: Final = """
const api = `${process.env["VERBATIM_URL"]}/api/v1`;
const token = async () => "";
const socket = {
  set onmessage(hear: (frame: { data: string }) => void) {
    for (const content of ["one", "two", "three"]) {
      hear({ data: JSON.stringify({ type: "ConversationText", role: "user", content }) });
    }
  },
};
"""
TYPESCRIPT: Final = [page for page in PAGES if blocks(page, "ts")]


@pytest.fixture(scope="module")
def expo(package: Path) -> Path:
    """A copy of the example with everything installed that its `package.json` asks for."""
    folder = ROOT / ".cache" / "expo"
    wanted = json.loads((EXPO / "package.json").read_text())
    del wanted["dependencies"]["verbatim-record"]
    manifest = folder / "package.json"
    if not (folder / "installed").exists() or json.loads(manifest.read_text()) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        manifest.write_text(json.dumps(wanted))
        run(*NPM, "install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--silent", folder=folder)
        (folder / "node_modules" / "verbatim-record").symlink_to(package)
        (folder / "installed").touch()
    for old in (*folder.glob("*.ts"), *folder.glob("*.tsx")):
        old.unlink()
    for file in (*EXPO.glob("*.ts"), *EXPO.glob("*.tsx"), EXPO / "tsconfig.json"):
        shutil.copy(file, folder)
    return folder


def check(folder: Path) -> None:
    run(PACKAGE / "node_modules" / ".bin" / "tsc", "--project", ".", folder=folder)


def test_the_expo_example_satisfies_the_compiler(expo: Path) -> None:
    check(expo)


def test_every_block_of_typescript_on_the_pages_satisfies_the_compiler(expo: Path) -> None:
    assert len(TYPESCRIPT) >= 3
    for page in TYPESCRIPT:
        source = AROUND + "\n".join(_once(block.text for block in blocks(page, "ts")))
        (expo / f"{page.replace('/', '-').removesuffix('.md')}.ts").write_text(source)
    check(expo)


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder into which the package was installed as it is published."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "package.json").write_text('{"type": "module"}')
    archive = run(*NPM, "pack", "--silent", "--pack-destination", folder, folder=package).strip()
    run(*NPM, "install", "--no-audit", "--silent", f"./{archive}", folder=folder)
    return folder


@pytest.mark.parametrize("page", TYPESCRIPT)
def test_the_first_example_of_a_phone_runs_in_node_where_nothing_but_the_package_is_installed(
    page: str, installed: Path, database_url: str
) -> None:
    source = blocks(page, "ts")[0].text.replace('import { getRandomValues } from "expo-crypto";\n', "")
    source = source.replace("verbatim-record/expo", "verbatim-record/node").replace(", random: getRandomValues", "")
    source = source.replace("ExpoStore()", 'NodeStore("calls.db")').replace("ExpoStore", "NodeStore")
    (installed / "example.ts").write_text(f"{IN_NODE}{source}console.log(JSON.stringify(receipt));")
    with serving(database_url) as address:
        receipt = json.loads(run(NODE, "--no-warnings", "example.ts", folder=installed, VERBATIM_URL=address))
    assert receipt["complete"] is True
    assert receipt["received"] == 3


def _once(texts: Iterator[str]) -> Iterator[str]:
    """Yield the texts of one page without the imports that an earlier one has made."""
    seen: set[str] = set()
    for text in texts:
        lines = text.splitlines()
        yield "\n".join(line for line in lines if not (line.startswith("import ") and line in seen))
        seen |= set(lines)
