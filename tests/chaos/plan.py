"""Who writes where: made from a seed, written to a file, read by every client and reader."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final, Self
from uuid import UUID

OWN: Final = 2  # conversations that one client alone writes to
SHARED: Final = 3  # conversations that all write to
MARK: Final = "quetzal"  # in everything that is said, and so to be found in no log


@dataclass(frozen=True)
class Plan:
    """A run. ``doors`` are the addresses of the services, as clients see them."""

    seed: int
    doors: list[str]
    rate: float
    own: list[list[str]]
    shared: list[str]

    @classmethod
    def make(cls, seed: int, clients: int, rate: float, doors: list[str]) -> Self:
        dice = Random(f"{seed} plan")
        own = [[identity(dice) for _ in range(OWN)] for _ in range(clients)]
        return cls(seed, doors, rate, own, [identity(dice) for _ in range(SHARED)])

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @property
    def conversations(self) -> list[str]:
        return [*self.shared, *(each for mine in self.own for each in mine)]


def identity(dice: Random) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4))
