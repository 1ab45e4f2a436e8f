"""The API keeps to its own description, whatever it is sent: no fault of the service, no answer it does not name."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from backend.dao_service.connection.database import Database
from backend.vocabulary import Scope
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
# What goes on for ever, or waits for as long as it is asked to, is tried elsewhere (test_live, test_feed, properties).
LASTING: Final = ("followConversation", "readFeed")


# A service may do more than a person; what it sends is the same, of which fewer examples do.
EXAMPLES: Final = {"person": 15, "service": 5}


@pytest.mark.parametrize("kind", EXAMPLES)
async def test_whatever_anybody_sends_is_answered_as_the_description_says(
    database_url: str, database: Database, tmp_path: Path, kind: str
) -> None:
    issuers = [issuer.model_dump(mode="json", exclude_none=True) for issuer in callers.issuers(tmp_path)]
    headers = callers.person("minh") if kind == "person" else await callers.service(database, "everywhere", *Scope)
    with serving(database_url, VERBATIM_AUTH_ISSUERS=json.dumps(issuers), **UNLIMITED) as address:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
        options = ["--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES[kind]), "--seed", "1", "--no-color"]
        for operation in LASTING:
            options += ["--exclude-operation-id", operation]
        run = await asyncio.to_thread(
            subprocess.run,
            [*command, *options, "--header", f"Authorization: {headers['authorization']}"],
            cwd=tmp_path, check=False, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert f"Tested: {len([*operations()]) - len(LASTING)}" in run.stdout, run.stdout
    assert "✅ Stateful" in run.stdout
