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


def largest_pretrained() -> Pretrained:
    """The one with the largest boards. Raises CheckpointError where none comes with this installation."""
    known = pretrained_models()
    if not known:
        raise CheckpointError(
            "no model comes with this installation", hint="name a run: `trm train sudoku-4x4` makes one"
        )
    return known[-1]


def pretrained_for(text: str, *, one_a_line: bool = False) -> Pretrained:
    """The model whose boards have as many cells as this text. Raises UsageError where none has.

    one_a_line: the text is a list of puzzles, or a table with a header.
    """
    from trm_cli.data.puzzles.sudoku_text import LIST_HINT, has_cells, table_fields

    known = pretrained_models()
    lines = [line for line in text.splitlines() if line.strip()]
    words = [word for line in lines[:2] for word in (line, *table_fields(line))] if one_a_line else [text]
    for one in known:
        if any(has_cells(word, one.cells) for word in words):
            return one
        if len(lines) > 1 and all(has_cells(line, one.cells) for line in lines):
            raise UsageError(f"this is a list of {len(lines)} puzzles", hint=LIST_HINT.replace(" RUN", ""))
    if text.lstrip()[:1] in ("{", "["):
        hint = "trm solve RUN TASK.json; `trm train unified-mini` trains one for small tasks"
        raise UsageError("no RUN is named: an ARC task needs one", hint=hint)
    if "#" in text and {"S", "G"} <= set(text):
        hint = "trm solve RUN MAZE; `trm train maze-generated` trains one"
        raise UsageError("no RUN is named: a maze needs one", hint=hint)
    hint = "trm solve RUN PUZZLE; `trm configs list` names what can be trained"
    if has_cells(text, 36):
        hint = (
            "`trm train sudoku-6x6` trains one for 6x6 boards in ten minutes: trm solve checkpoints/sudoku-6x6 PUZZLE"
        )
    sizes = " and ".join(str(one.cells) for one in known) or "no"
    raise UsageError(
        f"no RUN is named, and the models that come with trm read Sudoku boards of {sizes} cells, which this is not",
        hint=hint,
    )
