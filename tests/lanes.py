"""Which tests run in which lane, and that `.ci/run` skips none that a package would let run.

There are two lanes, and each test is in exactly one. The fast lane, `make test`, needs Python and nothing of the
system. The heavy lane is what ``HEAVY`` names by folder or file: tests that need a package of the system or a gigabyte
of Python's, that break servers, that build the wheel, or that measure or attack for most of a minute. `make test-all`
and `.ci/run` run both. A new test joins the lane of its folder, and a new folder is fast until it is named here.

Tests with the marker `pooled` run in their lane and once more with `--pooler pgbouncer`. The marker is for two kinds: a
test of what a transaction finds on its connection, or leaves there, since PgBouncer lends that to another client next
(settings, locks, prepared statements, LISTEN and NOTIFY, a time limit, a lost connection); and, for each statement that
the service sends, one test that sends it. tests/dao_service/test_pooler.py has what is true of a pooler alone.
"""

from pathlib import Path
from typing import Final

import pytest

HEAVY: Final = (
    "tests/api/test_bad_networks.py",  # a hundred calls
    "tests/api/test_rate_limits.py",  # needs redis-server
    "tests/api/test_schema.py",  # Schemathesis: up to 15 requests for each of many cases
    "tests/architecture/test_docs_blocks.py",  # needs curl
    "tests/architecture/test_wheel.py",
    "tests/benchmarks/",
    "tests/chaos/",
    "tests/console/",  # npm, and needs chromium
    "tests/clients/typescript/",  # npm, and a phone on a bad network for minutes
    "tests/dao_service/test_pooler.py",  # needs PgBouncer
    "tests/embedded_postgres/",
    "tests/failover/",
    "tests/migrations/test_baseline.py",  # an older release from git
    "tests/migrations/test_catalogue.py",  # needs psql
    "tests/migrations/test_rolling_upgrades.py",  # an older release from git, and PgBouncer
    "tests/migrations/test_under_load.py",
    "tests/overload/",
    "tests/properties/",
    "tests/clients/python/test_crashes.py",
    "tests/clients/python/test_livekit.py",  # a gigabyte of Python packages
    "tests/clients/python/test_pipecat.py",  # the same
    "tests/clients/python/test_torture.py",  # kills processes
    "tests/clients/python/test_wheel.py",  # installs from the registry
    "tests/search/test_indexer_crashes.py",
    "tests/test_copying.py",  # dumps, restores and interrupts
    "tests/test_crashes.py",
    "tests/test_demo.py",
)
# What runs longest comes first, so that no process is left alone with it in the end.
LONGEST: Final = (
    "tests/clients/typescript/",
    "tests/console/",
    "tests/architecture/test_docs_blocks.py",
    "tests/overload/",
    "tests/api/test_schema.py",
    "tests/migrations/test_rolling_upgrades.py",
    "tests/benchmarks/",
    "tests/chaos/",
    "tests/test_crashes.py",
    "tests/clients/python/test_torture.py",
    "tests/properties/",
    "tests/api/test_bad_networks.py",
    "tests/clients/python/test_crashes.py",
    "tests/embedded_postgres/",
    "tests/failover/",
    "tests/test_cli.py",
    "tests/test_stopping.py",
    "tests/clients/python/test_replay.py",
    "tests/test_replay_files.py",
    "tests/migrations/",
    "tests/api/test_slow_readers.py",
    "tests/api/test_transcripts.py",
)
NOT_INSTALLED: Final = "is not installed; run `"


def is_elsewhere(config: pytest.Config, path: Path) -> bool:
    """Whether the lane that runs has no test of the file at ``path``, which need not be imported then."""
    if not path.name.startswith("test_"):
        return False
    match config.option.markexpr:
        case "heavy":
            return not _is_heavy(config, path)
        case "not heavy":
            return _is_heavy(config, path)
        case "pooled":
            return "mark.pooled" not in path.read_text()
    return False


def assign(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the heavy tests, and put those first that take longest."""
    for item in items:
        if _is_heavy(config, item.path):
            item.add_marker(pytest.mark.heavy)
    items.sort(key=lambda item: _turn(_place(config, item.path)))


def _turn(place: str) -> int:
    return next((turn for turn, longest in enumerate(LONGEST) if place.startswith(longest)), len(LONGEST))


def _is_heavy(config: pytest.Config, path: Path) -> bool:
    return _place(config, path).startswith(HEAVY)


def _place(config: pytest.Config, path: Path) -> str:
    return path.relative_to(config.rootpath).as_posix()


def fail_for_what_is_not_installed(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that a package would have avoided into a failure."""
    if report.outcome == "skipped" and NOT_INSTALLED in (reason := str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = reason
