"""What `verbatim serve` tells the operator once the service listens."""

import pytest

from backend.server import greeting, listen


@pytest.mark.parametrize("local_only", [True, False])
def test_it_names_the_pages_that_the_service_has(local_only: bool) -> None:
    with listen("127.0.0.1", 0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert f"{address}/console/\n" in greeting(listener, local_only=local_only, console=True)
        without = greeting(listener, local_only=local_only, console=False)
    assert f"{address}/docs\n" in without
    assert "console" not in without
