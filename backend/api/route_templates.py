"""The template of the route that a path leads to, also for a request that is refused before it is routed."""

import re
from collections.abc import Collection

_PARAMETER = r"\\{\w+\\}"  # as `re.escape` writes it


class Templates:
    """Finds the template of a path among ``paths``, as `/api/v1/conversations/{conversation_id}`."""

    def __init__(self, paths: Collection[str]) -> None:
        # A literal segment before a parameter: a brace comes after every letter.
        self._paths = sorted(set(paths))
        each = (re.sub(_PARAMETER, "[^/]+", re.escape(path)) for path in self._paths)
        self._pattern = re.compile("|".join(f"({one})" for one in each))

    def find(self, path: str) -> str | None:
        """Return the template that ``path`` fits, None if there is none."""
        found = self._pattern.fullmatch(path)
        return self._paths[found.lastindex - 1] if found and found.lastindex else None
