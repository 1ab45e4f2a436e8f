"""How an unexpected exception is logged: by its type and place, because its message may quote what was said."""

from pathlib import Path
from traceback import extract_tb


def place_of(error: BaseException) -> str:
    """Return the type of ``error`` and where it was raised, such as `ValueError at writer.py:120`."""
    frames = extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where
