"""Every test runs in one of the lanes, and `.ci/run` runs all lanes without a skip for want of a package."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests import lanes
from tests.installed import program

ROOT: Final = Path(__file__).parents[2]
CI: Final = (ROOT / ".ci" / "run").read_text()
MAKEFILE: Final = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("place", sorted({*lanes.HEAVY, *lanes.LONGEST}))
def test_what_the_lanes_name_is_there(place: str) -> None:
    assert [*ROOT.glob(f"{place}*")]


def test_the_lanes_of_the_makefile_hold_every_test_and_each_is_run_by_ci() -> None:
    recipes = dict(re.findall(r"^(test[a-z-]*):.*\n\t@\$\(PYTEST\) (.*) \$\(ARGS\)$", MAKEFILE, re.MULTILINE))
    assert recipes == {
        "test": "-m 'not heavy'",
        "test-heavy": "-m heavy",
        "test-pooled": "-m pooled --pooler pgbouncer",
    }
    assert {*re.findall(r"\btest\b[a-z-]*", "\n".join(re.findall(r"^make (.*)$", CI, re.MULTILINE)))} == {*recipes}


def test_ci_installs_every_package_that_a_skipped_test_names() -> None:
    sources = [source.read_text() for source in (ROOT / "tests").rglob("*.py") if source != Path(__file__)]
    named = {package for text in sources for package in re.findall(r'program\("[\w-]+", "([\w-]+)"\)', text)}
    named |= {package for text in sources for package in re.findall(r'"apt-get install ([\w-]+)"', text)}
    assert {"pgbouncer", "redis-server"} <= named
    assert all(re.search(rf"\b{package}\b", CI) for package in named)


def test_a_test_whose_program_is_missing_says_what_installs_it_and_fails_where_none_may_be_skipped() -> None:
    with pytest.raises(pytest.skip.Exception) as skipped:
        program("no-such-program", "no-such-package")
    reason = "no-such-program is not installed; run `apt-get install no-such-package`"
    assert str(skipped.value) == reason
    report = pytest.TestReport("a test", ("a file", 1, ""), {}, "skipped", ("a file", 1, f"Skipped: {reason}"), "call")
    lanes.fail_for_what_is_not_installed(report)
    assert report.failed
    assert reason in str(report.longrepr)


def test_a_test_that_is_skipped_for_another_reason_stays_skipped() -> None:
    longrepr = ("a file", 1, "Skipped: only root may mount a small disk")
    report = pytest.TestReport("a test", ("a file", 1, ""), {}, "skipped", longrepr, "call")
    lanes.fail_for_what_is_not_installed(report)
    assert report.skipped
