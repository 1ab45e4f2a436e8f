"""Durability: what an acknowledged message survives with PostgreSQL's settings (fsync, synchronous standbys)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backend.dao_service.schema_dao import Durability, NodeState

_COUNTED: Final = re.compile(r"\s*(?:any\s+|first\s+)?(\d+)\s*\(", re.IGNORECASE)


class Survives(StrEnum):
    """The worst failure after which no acknowledged message is lost."""

    NOTHING = "nothing for certain"
    CRASH = "a crash of the database's server"
    LOSS = "the loss of the database's server"


@dataclass(frozen=True, slots=True)
class DurabilityReport:
    """The durability as `/readyz?verbose` shows it to clients without a token: without the names of standbys.

    A commit waits for ``standbys_wanted`` synchronous standbys. ``standbys_connected`` of them are connected; None when
    the database user may not see that.
    """

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    standbys_wanted: int
    standbys_connected: int | None
    survives: Survives


@dataclass(frozen=True, slots=True)
class NodeReport:
    """A node of a cluster, by its number; ``survives`` is None if it does not answer."""

    node: int
    survives: Survives | None


def nodes(found: Sequence[NodeState]) -> list[NodeReport]:
    """Return what each node's own conversations survive, without the names of nodes and standbys."""
    return [NodeReport(each.node, each.durability and survives(each.durability)) for each in found]


def node_faults(found: Sequence[NodeState]) -> list[str]:
    """Return a sentence for each node that is away, and for each setting of a node that can lose messages."""
    sentences = []
    for each in found:
        if each.durability is None:
            sentences.append(
                f"Node {each.node} of the cluster does not answer: its conversations, the list of conversations and "
                "the feed get 503 until it does. pg_dist_node says which server it is."
            )
        else:
            sentences += [f"Node {each.node} of the cluster: {sentence}" for sentence in faults(each.durability)]
    return sentences


def report(found: Durability) -> DurabilityReport:
    """Return ``found`` without the names of standbys."""
    return DurabilityReport(
        found.fsync, found.full_page_writes, found.synchronous_commit, wanted(found), found.synchronous, survives(found)
    )


def wanted(found: Durability) -> int:
    """Return the number of standbys that a commit waits for."""
    if not found.synchronous_standby_names.strip() or found.synchronous_commit == "local":
        return 0
    counted = _COUNTED.match(found.synchronous_standby_names)
    return int(counted[1]) if counted else 1


def survives(found: Durability) -> Survives:
    """Return the worst failure after which no acknowledged message is lost."""
    if "off" in {found.fsync, found.full_page_writes}:
        return Survives.NOTHING
    return Survives.LOSS if wanted(found) else Survives.CRASH


def faults(found: Durability) -> list[str]:
    """Return a sentence for each setting with which acknowledged messages can be lost, or none can be acknowledged."""
    sentences = [
        f"PostgreSQL runs with {name} = off: a crash can lose acknowledged messages. Set it to on."
        for name, setting in (("fsync", found.fsync), ("full_page_writes", found.full_page_writes))
        if setting == "off"
    ]
    if found.synchronous is not None and found.synchronous < wanted(found):
        sentences.append(
            f"Every commit waits for {wanted(found)} of the standbys {found.synchronous_standby_names}, but "
            f"{found.synchronous} are connected: no message is acknowledged until more of them connect."
        )
    return sentences


def promise(found: Durability) -> str:
    """Return a sentence for the operator: which failures an acknowledged message survives."""
    commit, standbys = f"synchronous_commit = {found.synchronous_commit}", found.synchronous_standby_names
    if survives(found) is Survives.NOTHING:
        return f"{commit}: an acknowledged message survives nothing for certain."
    if count := wanted(found):
        where = "in the memory" if found.synchronous_commit == "remote_write" else "on the disk"
        hidden = "" if found.synchronous is not None else ", which this user may not see"
        return (
            f"{commit}: an acknowledged message is on the primary's disk and {where} of {count} of the standbys "
            f"{standbys}{hidden}; it survives the loss of the primary."
        )
    alone = f"{commit}: an acknowledged message is on this server's disk, and survives its crash but not its loss"
    if found.standbys:
        return (
            f"{alone}: commits do not wait for the connected standbys ({found.standbys}), and a failover to one of "
            "them loses what it had not received yet. synchronous_standby_names makes commits wait."
        )
    return f"{alone}: no standby is connected."
