"""Draw puzzles of an evaluation: the input, how the answer changed, and the solution where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trm_cli.data.files.metadata import parse_metadata
from trm_cli.data.puzzles.kinds import PuzzleKind, Rgb, kind_of
from trm_cli.data.puzzles.sudoku_text import box_of, symbol

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from numpy.typing import NDArray

    Cells = NDArray[np.integer]

FRAMES = 6
_RIGHT, _WRONG, _WRONG_PAPER, _INK = "#2166ac", "#b2182b", "#fbe3e0", "#222222"
_MARKS = ("#ffffff", "#dcdcdc")


def drawable(evaluation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Select the samples that are square boards."""
    length = evaluation["dataset_metadata"]["seq_len"]
    square = round(length**0.5) ** 2 == length
    return list(evaluation["samples"]) if square and _kind(evaluation).drawn != "text" else []


def _kind(evaluation: Mapping[str, Any]) -> PuzzleKind:
    return kind_of(parse_metadata(evaluation["dataset_metadata"], "the evaluation"))


def colours_note(evaluation: Mapping[str, Any]) -> str:
    """Explain the colours of the boards."""
    return _kind(evaluation).note


def samples_height(evaluation: Mapping[str, Any], count: int) -> float:
    """Compute the height of `count` samples in inches."""
    return (1.5 if evaluation["dataset_metadata"]["seq_len"] <= 36 else 1.75) * count


def draw_samples(figure: FigureBase, evaluation: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
    """Draw one line of boards for each sample."""
    axes = figure.subplots(len(samples), FRAMES, squeeze=False)
    for line, sample in zip(axes, samples, strict=True):
        frames = _frames(sample)
        for axis, (title, tokens) in zip(line, frames, strict=False):
            axis.set_title(title, fontsize=8, loc="left", pad=3, color="#444444")
            _board(axis, evaluation["dataset_metadata"], sample, tokens)
        for axis in line[len(frames) :]:
            axis.set_axis_off()


def _frames(sample: Mapping[str, Any]) -> list[tuple[str, list[int]]]:
    """List the puzzle, some answers (the first and the last among them), and the solution where the last is wrong."""
    path = sample["steps"]
    label = [given if wanted < 0 else wanted for given, wanted in zip(sample["input"], sample["label"], strict=True)]
    wrong = any(
        wanted >= 0 and said != wanted for said, wanted in zip(path[-1]["answer"], sample["label"], strict=True)
    )
    room = FRAMES - 1 - wrong
    chosen = path if len(path) <= room else [path[0], *path[len(path) - room + 1 :]]
    frames = [("puzzle", sample["input"])]
    frames += [(f"step {one['step']}, {one['q_halt']:.0%} confident", one["answer"]) for one in chosen]
    return [*frames, ("solution", label)] if wrong else frames


def _board(axis: Axes, raw: Mapping[str, Any], sample: Mapping[str, Any], tokens: Sequence[int]) -> None:
    import numpy as np

    metadata = parse_metadata(raw, "the evaluation")
    side = round(metadata.seq_len**0.5)
    board, given, label = (np.array(one).reshape(side, side) for one in (tokens, sample["input"], sample["label"]))
    kind, box = kind_of(metadata), box_of(metadata)
    colours = [_css(colour) for colour in kind.palette]
    if kind.drawn == "grid":
        shown = board if tokens is not sample["input"] else given
        _pixels(axis, _cut(shown, given if tokens is sample["input"] else label), [*_MARKS, *colours])
    elif box is not None:
        _digits(axis, board, given, label, box)
    else:
        _pixels(axis, board, colours or None)


def _cut(board: Cells, extent: Cells) -> Cells:
    """Cut out the part of an ARC board in which `extent` has colours."""
    import numpy as np

    rows, columns = np.flatnonzero((extent >= 2).any(1)), np.flatnonzero((extent >= 2).any(0))
    if not len(rows):
        return board
    return board[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _pixels(axis: Axes, board: Cells, colours: list[str] | None) -> None:
    from matplotlib.colors import ListedColormap

    if colours is None:
        axis.imshow(board, cmap="viridis", interpolation="nearest")
    else:
        axis.imshow(board, cmap=ListedColormap(colours), vmin=0, vmax=len(colours) - 1, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color("#bbbbbb")


def _digits(axis: Axes, board: Cells, given: Cells, label: Cells, box: tuple[int, int]) -> None:
    """Draw a Sudoku: clues bold, right digits blue, wrong ones red on pale red."""
    from matplotlib.patches import Rectangle

    side = len(board)
    axis.set_xlim(-0.03 * side, 1.03 * side)
    axis.set_ylim(1.03 * side, -0.03 * side)
    axis.set_aspect("equal")
    axis.set_axis_off()
    size = min(10.0, 56.0 / side)
    for row in range(side):
        for column in range(side):
            token, clue, wanted = (int(one[row, column]) for one in (board, given, label))
            wrong = clue <= 1 < token and wanted >= 0 and token != wanted
            paper = _WRONG_PAPER if wrong else "#ffffff"
            axis.add_patch(Rectangle((column, row), 1, 1, facecolor=paper, edgecolor="#d5d5d5", linewidth=0.6))
            if token > 1:
                ink = _INK if clue > 1 else _WRONG if wrong else _RIGHT
                weight = "bold" if clue > 1 else "normal"
                axis.text(column + 0.5, row + 0.53, symbol(token), color=ink, fontsize=size, fontweight=weight,
                          ha="center", va="center")  # fmt: skip
    for row in range(0, side, box[0]):
        for column in range(0, side, box[1]):
            axis.add_patch(Rectangle((column, row), box[1], box[0], fill=False, edgecolor="#444444", linewidth=1.3))


def _css(colour: Rgb) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
