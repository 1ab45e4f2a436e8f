"""What a run came to, for a person."""

from rich.console import Console
from rich.table import Table

from tests.chaos.checker import Cell
from tests.chaos.conductor import Outcome


def show(outcome: Outcome, console: Console) -> None:
    """Print the table, and what was done."""
    dose, verdict = outcome.dose, outcome.verdict
    services = f"{dose.services} services of {dose.workers} workers"
    title = f"seed {dose.seed}, {dose.seconds:.0f} s, {dose.clients} clients, {services}"
    table = Table("", "", title=title)
    for cell in Cell:
        table.add_row(cell, f"{verdict.counts[cell]:,}")
    table.add_section()
    table.add_row("acknowledged", f"{len(verdict.acknowledged):,}")
    table.add_row("stored", f"{outcome.stored:,}")
    for status, count in sorted(verdict.statuses.items()):
        table.add_row(f"answers: {status}", f"{count:,}")
    console.print(table)
    if outcome.faults:
        faults = Table("fault", "times")
        for name, count in sorted(outcome.faults.items()):
            faults.add_row(name, str(count))
        console.print(faults)
    for cell, cases in verdict.examples.items():
        for case in cases:
            console.print(f"{cell}: {case}", markup=False)
