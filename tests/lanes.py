"""Which tests run in which lane, and that `.ci/run` skips none that a package would let run.

There are two lanes, and each test is in exactly one. The fast lane, `make test`, needs Python and nothing of the
system. The heavy lane is what ``HEAVY`` names by folder or file: tests that need a package of the system or a gigabyte
of Python's, that break servers, that build the wheel, or that measure or attack for most of a minute. `make test-all`
and `.ci/run` run both. A new test joins the lane of its folder, and a new folder is fast until it is named here.
Tests with the marker `pooled` run in their lane and once more with `--pooler pgbouncer`: those whose SQL meets a
connection that PgBouncer has lent to another client before.
"""

from typing import Final

import pytest

HEAVY: Final = (
    "tests/api/test_rate_limits.py",  # needs redis-server
    "tests/api/test_schema.py",  # Schemathesis: 15 requests for each of many cases
    "tests/architecture/test_docs_blocks.py",  # needs curl
    "tests/architecture/test_wheel.py",
    "tests/benchmarks/",
    "tests/chaos/",
    "tests/dao_service/test_pooler.py",  # needs PgBouncer
    "tests/embedded_postgres/",
    "tests/failover/",
    "tests/migrations/test_baseline.py",  # an older release from git
    "tests/migrations/test_catalogue.py",
    "tests/migrations/test_rolling_upgrades.py",  # the same, and PgBouncer
    "tests/overload/",
    "tests/properties/",
    "tests/recorder/test_livekit.py",  # a gigabyte of Python packages
    "tests/recorder/test_pipecat.py",  # the same
    "tests/test_demo.py",
)
NOT_INSTALLED: Final = "is not installed; run `"


def assign(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the heavy tests."""
    for item in items:
        if item.path.relative_to(config.rootpath).as_posix().startswith(HEAVY):
            item.add_marker(pytest.mark.heavy)


def fail_for_what_is_not_installed(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that a package would have avoided into a failure."""
    if report.outcome == "skipped" and NOT_INSTALLED in (reason := str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = reason
