import logging

import asyncpg
import httpx
import orjson
import pytest


def test_a_line_of_the_client_package_is_a_sentence_whose_facts_are_fields(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("verbatim_record.recorder").info("spool holds %(messages)d messages", {"messages": 3})
    logging.getLogger("elsewhere").warning("%(said)s", {"said": "a word"})
    ours, other = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert (ours["event"], ours["messages"], ours["level"]) == ("spool holds 3 messages", 3, "info")
    assert "said" not in other


async def test_a_fault_names_our_own_code_however_deep_in_a_library_it_arose(
    service: httpx.AsyncClient, connection: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    await connection.execute("ALTER TABLE voice_sessions ADD CHECK (false) NOT VALID")
    assert (await service.post("/api/v1/voice/sessions", json={})).status_code == 500
    lines = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    [fault] = [line for line in lines if line["event"] == "fault of the service"]
    ours = [place.partition(":")[0] for place in fault["places"] if place.startswith("backend/")]
    assert ours[-2:] == ["backend/services/voice_sessions.py", "backend/dao_service/voice_session_dao.py"]
    assert fault["places"][-1].startswith("sqlalchemy/")
