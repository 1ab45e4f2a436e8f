"""The hostile client of the dose, alone with a service."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import httpx

from tests.chaos.fleet import REPOSITORY
from tests.chaos.hostile import ATTACKS
from tests.chaos.journal import read
from tests.chaos.plan import Plan
from tests.conftest import serving

SECONDS: Final = 1.0
SEEDS: Final = (0, 35, 103)  # which between them choose every attack


async def test_it_attacks_and_what_it_heard_acknowledged_is_on_record(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    with serving(database_url) as address:
        plan = Plan.make(1, 1, 10, [f"{address}/api/v1"])
        plan.save(tmp_path / "plan.json")
        async with httpx.AsyncClient(timeout=30) as http:
            for conversation in plan.conversations:
                await http.post(f"{plan.doors[0]}/conversations", json={"id": conversation, "context_type": "voice"})
            said = [await _attack(tmp_path, urlsplit(address).port or 0, seed) for seed in SEEDS]
            assert (await http.get(f"{address}/livez")).is_success
    assert all(any(f"{name}, " in each or f"{name};" in each for each in said) for name in ATTACKS)
    acknowledged = set(_acknowledged(tmp_path))
    stored = {str(row[0]) for row in await connection.fetch("SELECT id FROM messages")}
    assert acknowledged
    assert acknowledged <= stored


def _acknowledged(folder: Path) -> Iterator[str]:
    for journal in folder.glob("*.jsonl"):
        for line in read(journal):
            yield from (result["message"]["id"] for result in line.get("results", ()) if "message" in result)


async def _attack(folder: Path, port: int, seed: int) -> str:
    arguments = (folder / "plan.json", port, seed, SECONDS, folder / f"{seed}.jsonl")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chaos.hostile",
        *map(str, arguments),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()
