"""The story that `make demo` tells."""

import re
import subprocess
import sys


def test_phone_service_and_orchestrator_tell_the_whole_story() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "examples.demo"], capture_output=True, text=True, timeout=120, check=True
    )
    heard = re.findall(r"^orchestrator  hears +(\d+) ", told.stdout, re.MULTILINE)
    assert heard == ["1", "2", "3", "4", "5"]
    assert "orchestrator  the conversation has ended" in told.stdout
    [task] = re.findall(r"^orchestrator  linked_task_id is (\S+)", told.stdout, re.MULTILINE)
    assert f"record        NEW_TASK is linked to task {task}" in told.stdout
    assert re.search(r"^record        msg_[0-9a-f]{32} was delivered in 1 attempt", told.stdout, re.MULTILINE)
    assert "'complete': True" in told.stdout
    assert told.stdout.count("] user: ") == 2
    assert re.search(
        r"^console       http://127\.0\.0\.1:\d+/console/#/calls/[0-9a-f-]{36}$", told.stdout, re.MULTILINE
    )
    assert told.stderr == ""
