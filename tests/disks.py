"""Disks that are soon full, where the tests may mount some."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[bool]:
    """Put a disk of ``size`` under ``folder``, and tell whether that was allowed: only root may."""
    mount = shutil.which("mount")
    allowed = mount is not None and os.geteuid() == 0
    if (
        not allowed
        or subprocess.run(
            [str(mount), "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder],
            check=False,
            capture_output=True,
        ).returncode
    ):
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(ballast: Path) -> None:
    """Make ``ballast`` so large that nothing else has room beside it."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        for size in (free.f_bavail * free.f_frsize, 2**20, 2**12):
            try:
                while True:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
            except OSError:
                continue
