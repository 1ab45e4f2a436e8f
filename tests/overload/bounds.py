"""What the service has to keep to, whatever is sent. All bounds stand here."""

from typing import Final

from tests.overload.measuring import Result

PEAK_MIB: Final = 400.0  # of memory, of one worker
RECOVERY: Final = 1.0  # seconds from the end of an attack
LOST: Final = 0  # messages acknowledged and not stored
RATIO: Final = 3.0  # an innocent caller's p99 beside one hostile subject or address, to its p99 alone
ACCEPTED_P99: Final = 2.0  # seconds to a 201 under general overload
SHED_P99: Final = 0.2  # seconds to a 503 under general overload


def broken(result: Result) -> list[str]:
    """Return a sentence for each bound that ``result`` exceeds."""
    found: list[str] = []
    if result.peak_mib > PEAK_MIB:
        found.append(f"the worker took {result.peak_mib:,.0f} MiB; at most {PEAK_MIB:,.0f} are allowed")
    if result.recovery is None:
        found.append("the service did not recover")
    elif result.recovery > RECOVERY:
        found.append(f"the service needed {result.recovery:.2f} s to recover; at most {RECOVERY:.0f} s are allowed")
    if result.lost > LOST:
        found.append(f"{result.lost} acknowledged messages are not stored")
    if result.not_dense:
        found.append(f"{result.not_dense} conversations have holes in their sequence")
    if not result.scenario.general and result.ratio > RATIO:
        found.append(f"the innocent caller's p99 was {result.ratio:.1f} times its own alone; {RATIO:.0f} are allowed")
    if result.scenario.general:
        found += _general(result)
    return [f"{result.scenario.name}: {sentence}." for sentence in found]


def _general(result: Result) -> list[str]:
    found = []
    if result.accepted_p99 > ACCEPTED_P99:
        found.append(f"the p99 of accepted answers was {result.accepted_p99:.1f} s; {ACCEPTED_P99:.0f} s are allowed")
    if result.shed_p99 > SHED_P99:
        found.append(f"the p99 of 503 answers was {result.shed_p99:.2f} s; {SHED_P99} s are allowed")
    return found
