"""Identities are never given twice, whoever makes them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from verbatim_record.ids import new_id

# A process that forks with ids drawn ahead; the parts that are random must differ.
FORKS = """
import os
from verbatim_record.ids import new_id
new_id()
child = os.fork()
print([new_id().int & (1 << 62) - 1 for _ in range(100)], flush=True)
if child:
    os.waitpid(child, 0)
"""


def test_ids_sort_by_the_time_they_were_made_and_are_of_version_7() -> None:
    made = [new_id() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert {(each.version, each.variant) for each in made} == {(7, "specified in RFC 4122")}
    assert made[0].int >> 80 <= made[-1].int >> 80


def test_threads_are_given_ids_of_their_own() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [*pool.map(lambda _: new_id().int & (1 << 62) - 1, range(20_000))]
    assert len(set(made)) == 20_000


def test_a_process_that_forks_shares_no_id_with_its_child() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=30, check=True)
    parent, child = done.stdout.splitlines()
    assert not set(parent.strip("[]").split(", ")) & set(child.strip("[]").split(", "))
