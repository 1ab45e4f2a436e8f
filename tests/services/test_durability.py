import pytest

from backend.dao_service.schema_dao import Durability
from backend.services.durability import Survives, faults, promise, survives, wanted

SAFE = Durability("on", "on", "on", "", 0, 0)


@pytest.mark.parametrize(
    ("names", "count"),
    [
        ("", 0),
        (" ", 0),
        ("*", 1),
        ("a, b", 1),
        ("2 (a, b, c)", 2),
        ("FIRST 3 (a, b, c)", 3),
        ("any 2(a,b)", 2),
        ('"any 2 (x)"', 1),
    ],
)
def test_how_many_standbys_a_commit_waits_for_is_read_as_postgresql_reads_it(names: str, count: int) -> None:
    assert wanted(SAFE._replace(synchronous_standby_names=names)) == count
    assert wanted(SAFE._replace(synchronous_standby_names=names, synchronous_commit="local")) == 0


@pytest.mark.parametrize(
    ("setting", "unsafe"),
    [("fsync", SAFE._replace(fsync="off")), ("full_page_writes", SAFE._replace(full_page_writes="off"))],
)
def test_without_flushing_nothing_survives_for_certain(setting: str, unsafe: Durability) -> None:
    found = unsafe._replace(synchronous_standby_names="*", synchronous=1)
    assert survives(found) == Survives.NOTHING
    [fault] = faults(found)
    assert f"{setting} = off" in fault
    assert "nothing for certain" in promise(found)


@pytest.mark.parametrize(
    ("found", "survival", "words"),
    [
        (SAFE, Survives.CRASH, "no standby is connected"),
        (SAFE._replace(standbys=2), Survives.CRASH, "do not wait for the connected standbys (2)"),
        (
            SAFE._replace(synchronous_standby_names="one", synchronous_commit="local", standbys=1, synchronous=1),
            Survives.CRASH,
            "synchronous_commit = local",
        ),
        (
            SAFE._replace(synchronous_standby_names="ANY 1 (one, two)", standbys=2, synchronous=2),
            Survives.LOSS,
            "on the disk of 1 of the standbys ANY 1 (one, two); it survives",
        ),
        (
            SAFE._replace(
                synchronous_standby_names="one", synchronous_commit="remote_write", standbys=1, synchronous=1
            ),
            Survives.LOSS,
            "in the memory of 1",
        ),
        (
            SAFE._replace(synchronous_standby_names="one", standbys=1, synchronous=None),
            Survives.LOSS,
            "which this user may not see",
        ),
    ],
)
def test_what_an_acknowledged_message_survives_is_said_and_is_no_fault(
    found: Durability, survival: Survives, words: str
) -> None:
    assert survives(found) == survival
    assert faults(found) == []
    assert words in promise(found)


def test_standbys_that_commits_wait_for_in_vain_are_a_fault() -> None:
    [fault] = faults(SAFE._replace(synchronous_standby_names="2 (one, two)", standbys=2, synchronous=1))
    assert "waits for 2 of the standbys 2 (one, two), but 1 are connected" in fault
