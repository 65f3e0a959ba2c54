"""Choose the model that comes with the program for a puzzle, where no run is named."""

from __future__ import annotations

from dataclasses import dataclass

from trm_cli.errors import CheckpointError, UsageError


@dataclass(frozen=True)
class Pretrained:
    """A model that comes with the program. cells: of its boards. exact: which share of `count` test boards is right."""

    name: str
    cells: int
    exact: float | None
    count: int

    @property
    def described(self) -> str:
        """Its name, with what was measured of it."""
        if self.exact is None:
            return self.name
        return f"{self.name} ({100 * self.exact:.1f} % of {self.count:,} test boards right)"


def pretrained_models() -> list[Pretrained]:
    """The models that come with the program, the smallest board first. Raises CheckpointError for damaged ones."""
    from trm_cli.data.files.json_file import read_json
    from trm_cli.training.run.published import find_published, pretrained
    from trm_cli.training.run_files import FACTS, MEASURED

    found = []
    for name in pretrained():
        folder = find_published(name)
        assert folder is not None
        cells = read_json(folder / FACTS, error=CheckpointError)["dataset"]["metadata"]["seq_len"]
        best = next(iter(read_json(folder / MEASURED, error=CheckpointError)), None)
        exact = None if best is None else best["exact"]["value"]
        found.append(Pretrained(name, int(cells), exact, 0 if best is None else best["count"]))
    return sorted(found, key=lambda one: one.cells)


def pretrained_for(text: str) -> Pretrained:
    """The model whose boards have as many cells as this text. Raises UsageError where none has."""
    from trm_cli.data.puzzles.sudoku_text import has_cells

    known = pretrained_models()
    for one in known:
        if has_cells(text, one.cells):
            return one
    sizes = " and ".join(str(one.cells) for one in known) or "no"
    raise UsageError(
        f"no RUN is named, and the models that come with trm read Sudoku boards of {sizes} cells, which this is not",
        hint="trm solve RUN PUZZLE; `trm train sudoku-small` trains one for 9x9 boards in half an hour",
    )
