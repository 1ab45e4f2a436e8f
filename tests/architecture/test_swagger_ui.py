"""The build copies Swagger UI's files into the package, and takes no other files than those whose sums are pinned."""

import tarfile
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from backend.api.swagger_ui import build_hook

ROOT = Path(__file__).parents[2]
GENUINE = ROOT / "backend" / "api" / "swagger_ui"


def hook(root: Path) -> build_hook.SwaggerUIHook:
    metadata = ProjectMetadata[PluginManager](str(ROOT), PluginManager())
    return build_hook.SwaggerUIHook(str(root), {}, None, metadata, str(root / "dist"), "wheel")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing has been built yet; its folder of Swagger UI."""
    folder = tmp_path / "backend" / "api" / "swagger_ui"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What npm is asked for. It delivers what it delivered for this checkout."""
    asked: list[str] = []

    def npm(*arguments: str) -> None:
        asked.extend(arguments)
        with tarfile.open(Path(arguments[-1], "package.tgz"), "w:gz") as archive:
            for name in build_hook.SUMS:
                archive.add(GENUINE / name, f"package/{name}")

    monkeypatch.setattr(build_hook, "_npm", npm)
    return asked


def test_a_build_copies_nothing_that_is_there(checkout: Path, asked: list[str]) -> None:
    for name in build_hook.SUMS:
        (checkout / name).write_bytes((GENUINE / name).read_bytes())
    hook(checkout.parents[2]).initialize("standard", {})
    assert asked == []


def test_a_build_replaces_a_file_that_was_changed(checkout: Path, asked: list[str]) -> None:
    (checkout / "swagger-ui.css").write_text("* { display: none }")
    hook(checkout.parents[2]).initialize("standard", {})
    assert f"swagger-ui-dist@{build_hook.VERSION}" in asked
    assert {path.name: path.read_bytes() for path in checkout.iterdir()} == {
        name: (GENUINE / name).read_bytes() for name in build_hook.SUMS
    }


@pytest.mark.usefixtures("asked")
def test_a_build_refuses_what_is_not_pinned(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build_hook.SUMS, "swagger-ui.css", "0" * 64)
    with pytest.raises(ValueError, match=r"npm delivered another swagger-ui\.css of swagger-ui-dist"):
        hook(checkout.parents[2]).initialize("standard", {})
    assert not (checkout / "swagger-ui.css").exists()
