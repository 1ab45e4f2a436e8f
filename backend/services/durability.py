"""What an acknowledged message survives, as PostgreSQL is set up."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backend.dao_service.schema_dao import Durability

_COUNTED: Final = re.compile(r"\s*(?:any\s+|first\s+)?(\d+)\s*\(", re.IGNORECASE)


class Survives(StrEnum):
    """What cannot take it away any more."""

    NOTHING = "nothing for certain"
    CRASH = "a crash of the database's server"
    LOSS = "the loss of the database's server"


@dataclass(frozen=True, slots=True)
class InForce:
    """The same for machines that show no token, so without anybody's names.

    Commits wait for ``standbys_wanted``; of such ``standbys_connected`` are there, None when that is hidden from us.
    """

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    standbys_wanted: int
    standbys_connected: int | None
    survives: Survives


def in_force(found: Durability) -> InForce:
    """Return the same without names."""
    return InForce(
        found.fsync, found.full_page_writes, found.synchronous_commit, wanted(found), found.synchronous, survives(found)
    )


def wanted(found: Durability) -> int:
    """Return for how many standbys a commit waits."""
    if not found.synchronous_standby_names.strip() or found.synchronous_commit == "local":
        return 0
    counted = _COUNTED.match(found.synchronous_standby_names)
    return int(counted[1]) if counted else 1


def survives(found: Durability) -> Survives:
    """Return the worst that takes no acknowledged message away."""
    if "off" in {found.fsync, found.full_page_writes}:
        return Survives.NOTHING
    return Survives.LOSS if wanted(found) else Survives.CRASH


def faults(found: Durability) -> list[str]:
    """Return a sentence for everything that makes an acknowledgement worth less than it says, or impossible."""
    sentences = [
        f"PostgreSQL runs with {name} = off: what was acknowledged can be lost in a crash."
        for name, setting in (("fsync", found.fsync), ("full_page_writes", found.full_page_writes))
        if setting == "off"
    ]
    if found.synchronous is not None and found.synchronous < wanted(found):
        sentences.append(
            f"Every commit waits for {wanted(found)} of the standbys {found.synchronous_standby_names}, and "
            f"{found.synchronous} are connected: nothing is acknowledged until they are."
        )
    return sentences


def promise(found: Durability) -> str:
    """Say what an acknowledged message survives, and what not."""
    commit, standbys = f"synchronous_commit = {found.synchronous_commit}", found.synchronous_standby_names
    if survives(found) is Survives.NOTHING:
        return f"{commit}: what is acknowledged survives nothing for certain."
    if count := wanted(found):
        where = "in the memory" if found.synchronous_commit == "remote_write" else "on the disk"
        hidden = "" if found.synchronous is not None else ", which are hidden from this user"
        return (
            f"{commit}: what is acknowledged is on the primary's disk and {where} of {count} of the standbys "
            f"{standbys}{hidden}; it survives the loss of the primary."
        )
    alone = f"{commit}: what is acknowledged is on the disk of this server, and survives its crash but not its loss"
    if found.standbys:
        return (
            f"{alone}: commits do not wait for the standbys that follow ({found.standbys}), and when one takes over, "
            "what it had not received yet is gone. synchronous_standby_names makes them wait."
        )
    return f"{alone}: no standby follows."
