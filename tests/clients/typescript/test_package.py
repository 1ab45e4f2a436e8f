"""The TypeScript package builds under strict rules, and its own tests pass against the real service."""

import pytest

from tests.clients.typescript.npm import NODE, NPM, PACKAGE, run
from tests.conftest import serving

pytestmark = pytest.mark.usefixtures("package")


def test_the_tests_of_the_package_satisfy_the_compiler() -> None:
    run(*NPM, "run", "check", "--silent")


@pytest.mark.parametrize("file", sorted(path.name for path in PACKAGE.glob("tests/*.test.ts")))
def test_the_tests_of_the_package_pass(file: str, database_url: str) -> None:
    with serving(database_url) as address:
        run(NODE, "--no-warnings", "--test", "--test-timeout=120000", f"tests/{file}", VERBATIM_URL=address)
