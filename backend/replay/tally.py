"""The counts of a replay."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """The counts of a replay. ``refused`` counts by problem and field; ``trouble`` tells why the replay ended early."""

    opened: int = 0
    reopened: int = 0
    new: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    misplaced: int = 0
    trouble: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything in the file is on record, in its order."""
        return not (self.refused or self.malformed or self.misplaced or self.trouble)

    def __str__(self) -> str:
        """Return the counts, a line each."""
        lines = [
            f"{self.opened + self.reopened:,} conversations: {self.opened:,} new, {self.reopened:,} repeated",
            f"{self.new + self.repeated:,} messages: {self.new:,} new, {self.repeated:,} repeated",
            f"{self.refused.total():,} refused",
            *(f"  {count:,} of {problem}" for problem, count in self.refused.most_common()),
        ]
        if self.malformed:
            lines.append(f"{self.malformed:,} malformed (lines that are not a dialogue)")
        if self.misplaced:
            lines.append(f"{self.misplaced:,} misplaced (on record before their predecessors)")
        return "\n".join(lines)
