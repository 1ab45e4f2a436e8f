"""Finds the route template of a path, also for a request that is refused before FastAPI routes it.

Metrics and logs name the template, because the paths themselves have no bound in number.
"""

import re
from collections.abc import Collection

_PARAMETER = r"\\{\w+\\}"  # as `re.escape` writes it


class Templates:
    """The route templates ``paths``, such as `/api/v1/conversations/{conversation_id}`."""

    def __init__(self, paths: Collection[str]) -> None:
        # Sorted, so that a literal segment is tried before a parameter: `{` sorts after every letter.
        self._paths = sorted(set(paths))
        each = (re.sub(_PARAMETER, "[^/]+", re.escape(path)) for path in self._paths)
        self._pattern = re.compile("|".join(f"({one})" for one in each))

    def find(self, path: str) -> str | None:
        """Return the template that matches ``path``, or None."""
        found = self._pattern.fullmatch(path)
        return self._paths[found.lastindex - 1] if found and found.lastindex else None
