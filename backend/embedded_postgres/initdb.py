"""Creation of a new database cluster, atomically, and the command line of the server that runs on it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from backend.embedded_postgres.binaries import Binaries
from backend.embedded_postgres.data_directory import DataDirectory
from backend.embedded_postgres.process import Launcher
from verbatim_record.setup_error import SetupError

NAME = "verbatim"  # the user and the database

_BUILTIN_LOCALES = 17  # the first version with locales of its own: text order then never changes with the system's libc


def ensure_cluster(directory: DataDirectory, binaries: Binaries, launcher: Launcher, *, durable: bool) -> None:
    """Create the cluster if it is missing: under another name, synced to disk if ``durable``, then renamed.

    Raises SetupError, with PostgreSQL's reason, if that fails.
    """
    if directory.data.exists():
        return
    draft = directory.data.with_suffix(".new")
    if draft.exists():
        shutil.rmtree(draft)
    initdb, postgres = binaries.folder / "initdb", binaries.folder / "postgres"
    make: list[str | Path] = [initdb, "-D", draft, "-U", NAME, "--auth=trust", "-E", "UTF8", *_locale(binaries.major)]
    _run(directory, launcher, *make, "--data-checksums", "--no-sync", "--no-instructions")
    only_user: list[str | Path] = [
        postgres,
        "--single",
        "-D",
        draft,
        "-c",
        "fsync=off",
        "-c",
        "exit_on_error=on",
        "template1",
    ]
    _run(directory, launcher, *only_user, text=f"CREATE DATABASE {NAME}\n".encode())
    if durable:
        _run(directory, launcher, initdb, "--sync-only", "-D", draft)
    draft.rename(directory.data)
    _sync_folder(directory.path)


def server_command(directory: DataDirectory, binaries: Binaries, host: Path, *, durable: bool) -> list[str | Path]:
    """Return the server's command line; its settings override those of the configuration files."""
    command: list[str | Path] = [binaries.folder / "postgres", "-D", directory.data]
    for name, value in _settings(host, durable=durable):
        command += ["-c", f"{name}={value}"]
    return command


def _settings(host: Path, *, durable: bool) -> Iterator[tuple[str, str]]:
    safe = "on" if durable else "off"
    yield from (("fsync", safe), ("synchronous_commit", safe), ("full_page_writes", safe))
    yield from (("shared_buffers", "128MB" if durable else "32MB"), ("max_connections", "100"))
    yield from (("listen_addresses", ""), ("port", "5432"))
    yield from (("unix_socket_directories", str(host)), ("unix_socket_permissions", "0700"))
    # The content of messages must not reach the log. Errors quote values ("invalid input syntax for ..."), details
    # quote rows, and a crash quotes the running statement. So the log has no client errors, details or statements.
    yield from (("log_destination", "stderr"), ("logging_collector", "off"), ("log_min_messages", "log"))
    yield from (("log_error_verbosity", "terse"), ("log_min_error_statement", "panic"), ("log_statement", "none"))
    yield from (("log_min_duration_statement", "-1"), ("log_min_duration_sample", "-1"), ("log_lock_waits", "off"))
    yield from (("log_parameter_max_length", "0"), ("log_parameter_max_length_on_error", "0"))


def _locale(major: int) -> list[str]:
    if major >= _BUILTIN_LOCALES:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=C.UTF-8"]


def _run(directory: DataDirectory, launcher: Launcher, *command: str | Path, text: bytes = b"") -> None:
    if launcher.run(*command, text=text) != 0:
        raise SetupError(f"PostgreSQL could not create its data in {directory.path}: {directory.failure_reason()}.")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
