"""The API keeps to its own description, whatever it is sent: no fault of the service, no answer it does not name."""

import json
import subprocess
import sys
from pathlib import Path

from tests import callers
from tests.architecture.test_openapi import operations
from tests.conftest import serving

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "use_after_free",
]
UNLIMITED = dict.fromkeys(("VERBATIM_RATE_LIMIT_ADDRESS", "VERBATIM_RATE_LIMIT_SUBJECT"), "1000000/minute")


def test_whatever_a_person_sends_is_answered_as_the_description_says(database_url: str, tmp_path: Path) -> None:
    issuers = [issuer.model_dump(mode="json", exclude_none=True) for issuer in callers.issuers(tmp_path)]
    with serving(database_url, VERBATIM_AUTH_ISSUERS=json.dumps(issuers), **UNLIMITED) as address:
        token = callers.person("minh")["authorization"]
        # What goes on for ever is followed elsewhere (test_live).
        streams = ["--exclude-operation-id", "followConversation"]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
        options = ["--checks", ",".join(CHECKS), "--max-examples", "15", "--seed", "1", "--no-color"]
        run = subprocess.run(
            [*command, *options, *streams, "--header", f"Authorization: {token}"],
            cwd=tmp_path, check=False, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert f"Tested: {len([*operations()]) - 1}" in run.stdout, run.stdout
