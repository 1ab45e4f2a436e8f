"""`verbatim mcp` serves the tools on standard input and output, from a running service."""

import os
import sys
from pathlib import Path

import asyncpg
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from backend import cli
from backend.app import create_app
from backend.mcp_server import HOW_TO_INSTALL
from tests import callers
from tests.conftest import settings_for
from tests.mcp_server.test_tools import NAMES, OTHER, OWNER, conversation_of, record_of, said, text_of
from tests.streams import listening


async def test_the_command_serves_what_its_token_may_read(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    mine, theirs = await conversation_of(connection, OWNER), await conversation_of(connection, OTHER)
    await said(connection, mine, "Remind me to call the dentist.")
    token = callers.person(OWNER)["authorization"].removeprefix("Bearer ")
    app = create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))
    async with listening(app) as service:
        command = ["-m", "backend", "mcp", "--url", str(service.base_url)]
        program = StdioServerParameters(
            command=sys.executable, args=command, env={**os.environ, "VERBATIM_TOKEN": token}
        )
        async with Client(program) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == NAMES
            read = await text_of(client, "get_transcript", conversation_id=str(mine))
            refused = await text_of(client, "get_transcript", fails=True, conversation_id=str(theirs))
    assert record_of(read) == ["#1 [2026-01-31 09:30:00] user: Remind me to call the dentist."]
    assert refused == f"There is no conversation {theirs}."


def test_without_the_extra_the_command_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("backend.cli.tools.is_installed", lambda: False)
    monkeypatch.setattr(sys, "argv", ["verbatim", "mcp"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert HOW_TO_INSTALL in capsys.readouterr().err


def test_an_address_that_is_none_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["verbatim", "mcp", "--url", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "must be the address of a Verbatim service" in capsys.readouterr().err
