"""The screen of a dataset build: command line, progress bar, messages of the builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from trm_cli.addresses import local_location
from trm_cli.console.output import next_step, note, stderr, stdout
from trm_cli.console.progress import transient_bar
from trm_cli.console.tables import table
from trm_cli.data.building.builder_command import typed
from trm_cli.data.building.builder_process import BuildProgress
from trm_cli.units import duration
from trm_cli.workflows.observers import BuildObserver

if TYPE_CHECKING:
    from trm_cli.config.registry import RegistryEntry

_COUNTS = ("total_groups", "mean_puzzle_examples", "total_puzzles")


def show_command(command: Sequence[str]) -> None:
    """Print a builder's command line as it could be typed, on stderr."""
    stderr().print(Text.assemble(("Command: ", "dim"), typed(command)), soft_wrap=True)


class BuildScreen(BuildObserver):
    """Shows a build: its command line, then its progress."""

    def build_command(self, command: Sequence[str]) -> None:
        """Print the builder's command line as it could be typed."""
        show_command(command)

    def building(self, title: str) -> BuildView:
        """Return the view of one build."""
        return BuildView(title)


def show_built(entry: RegistryEntry, seconds: float) -> None:
    """Print what was built, where it lies, how long that took, and the next command."""
    from trm_cli.data.files.metadata import has_split, read_metadata

    place = str(entry.dataset_args["output_dir"])
    root = local_location(place)
    counts = [
        f"{split} {read_metadata(root, split).total_groups:,}"
        for split in ("train", "test")
        if has_split([root], split)
    ]
    note(f"{place} is complete: groups {', '.join(counts)}; {duration(seconds)}")
    next_step(("trm", "train", entry.word), ("trm", "inspect-dataset", place))


class BuildView(BuildObserver):
    """A progress bar on a terminal; elsewhere a line for each note and for every tenth of the work."""

    def __init__(self, title: str) -> None:
        self._console = stderr()
        # Whole in 80 columns: of all parts only the title may be cut.
        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=20))
        unit = TextColumn("{task.fields[unit]}", markup=False, table_column=Column(no_wrap=True))
        times = (TextColumn("elapsed"), TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(compact=True))
        count = TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True))
        self._bar = transient_bar(name, BarColumn(10), count, unit, *times)
        self._task = self._bar.add_task(title, total=None, count="", unit="starting")
        self._tenth = -1

    def __enter__(self) -> BuildView:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def build_progress(self, report: BuildProgress) -> None:
        """Update the progress bar."""
        count = f"{report.done:,}/{report.total:,}"
        self._bar.update(self._task, completed=report.done, total=report.total, count=count, unit=report.unit)
        tenth = 10 * report.done // max(1, report.total)
        if not self._console.is_terminal and (report.note or tenth > self._tenth):
            note = f": {report.note}" if report.note else ""
            self.build_line(f"{report.done:,} of {report.total:,} {report.unit}{note}")
        elif report.note:
            self.build_line(report.note)
        self._tenth = max(self._tenth, tenth)

    def build_line(self, text: str) -> None:
        """Print a message of the builder; notes about a stand-in are highlighted."""
        before, mark, note = text.partition("NOTE:")
        shown = Text.assemble(before, (mark + note, "bold yellow")) if mark else Text(text, "dim")
        self._console.print(shown, soft_wrap=True)


def show_build_plan(model: str, plan: Mapping[str, object]) -> None:
    """Print what a builder would build as a table."""
    view = table("split", "groups", "examples per puzzle", "puzzles", right=(1, 2, 3))
    stdout().print(Text.assemble(("the dataset that is planned for ", ""), (model, "bold")))
    for split in ("train", "test"):
        facts = plan.get(split)
        if isinstance(facts, Mapping):
            groups, mean, puzzles = (facts.get(key, 0) for key in _COUNTS)
            view.add_row(split, f"{groups:,}", f"{mean:g}", f"{puzzles:,}")
    stdout().print(view)
    names = {"seq_len": "sequence length", "vocab_size": "vocabulary", "num_puzzle_identifiers": "puzzle identifiers"}
    facts_line = ", ".join(f"{label} {plan[key]:,}" for key, label in names.items() if isinstance(plan.get(key), int))
    stdout().print(facts_line)
    sources = plan.get("sources")
    for source in sources if isinstance(sources, Sequence) else []:
        if isinstance(source, Mapping) and source.get("note"):
            stdout().print(Text.assemble((f"{source.get('name')}: ", "bold"), (str(source["note"]), "yellow")))
