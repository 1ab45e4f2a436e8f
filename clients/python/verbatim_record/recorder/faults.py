"""How an unexpected exception is logged: by its type and place, because its message may quote what was said."""

import logging
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb
from typing import Any


class CarefulLog(logging.LoggerAdapter[logging.Logger]):
    """A log that never raises: a handler of the program that does must not end the writer or the spool's thread."""

    def log(self, level: int, msg: object, *args: object, **more: Any) -> None:
        """Log, and ignore what a handler or a filter raises."""
        with suppress(Exception):
            super().log(level, msg, *args, **({"stacklevel": 2} | more))


def place_of(error: BaseException) -> str:
    """Return the type of ``error`` and where it was raised, such as `ValueError at writer.py:120`."""
    frames = extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where
