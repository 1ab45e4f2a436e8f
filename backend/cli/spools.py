"""`verbatim replay` of a recorder's spool: sends the messages that the spool still holds."""

import asyncio
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from backend.cli.terminal import FAILED, console, stderr
from verbatim_record import Sink
from verbatim_record.recorder.replay import Replayed
from verbatim_record.recorder.replay import replay as send
from verbatim_record.recorder.spool.repair import is_spool as looks_like_spool
from verbatim_record.recorder.spool.repair import rescues
from verbatim_record.setup_error import SetupError


def is_spool(file: Path) -> bool:
    """Return whether ``file`` is a recorder's spool; False for an unreadable file and for a pipe.

    A pipe is not read, because the bytes would then be missing when its dialogues are read.
    """
    try:
        return file.is_file() and looks_like_spool(file)
    except OSError:
        return False


def replay(file: Path, sink: Sink, *, patience: float) -> None:
    """Send the messages of the spool through ``sink``, and print the outcome.

    Raises SetupError if the service accepted nothing for ``patience`` seconds, and Exit if it refused messages.
    """
    replayed = asyncio.run(_send(file, sink, patience))
    console.print(_summary(replayed), soft_wrap=True)
    for commands in rescues(file):
        stderr.print(f"The spool was damaged once. To send what more can be recovered:\n  {commands}", soft_wrap=True)
    if replayed.left:
        raise SetupError(
            f"The service accepted nothing for {patience:g} seconds ({replayed.trouble or 'no answer'}). The messages "
            "that it accepted are on record; run the same command again for the rest."
        )
    if replayed.refusals:
        raise typer.Exit(FAILED)


async def _send(file: Path, sink: Sink, patience: float) -> Replayed:
    terminal = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"), TimeElapsedColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        bar = progress.add_task("Replaying", total=None, counts="")

        def watch(answered: int, total: int, trouble: str | None) -> None:
            description = f"Waiting ({trouble})" if trouble else "Replaying"
            progress.update(
                bar,
                description=description,
                completed=answered,
                total=total,
                counts=f"{answered:,} of {total:,} messages",
            )

        return await send(file, sink, patience=patience, watch=watch)


def _summary(replayed: Replayed) -> str:
    lines = [f"{replayed.sent:,} messages on record", f"{replayed.refusals.total():,} refused, and kept in the spool"]
    lines += [f"  {count:,} of {reason}" for reason, count in replayed.refusals.most_common()]
    if replayed.others:
        lines.append(f"{replayed.others:,} belong to running recorders, which will send them")
    return "\n".join(lines)
