"""What a process did, a line each: written before it is done, and after."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Journal:
    """A file that loses no line that was written, whoever kills its writer."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def note(self, what: str, **facts: object) -> None:
        self._file.write(json.dumps({"at": round(time.time(), 3), "what": what} | facts) + "\n")


def read(path: Path) -> Iterator[Line]:
    """Yield the lines; one that its writer's death cut short, the last, was never said."""
    if path.exists():
        with path.open() as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)
