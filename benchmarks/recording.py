"""Draw how `trm solve` answers a puzzle, as the README shows it: `python -m benchmarks.recording` writes an SVG."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

import trm_cli as trm
from trm_cli.console.answers.solution import solution_screen

PUZZLE = "1......1..343..2"
OUT = Path("docs/figures/solve.svg")
#: Fonts that rich would load from another host.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Write it."""
    answer = trm.load("pretrained/sudoku-4x4", device="cpu").solve(PUZZLE)
    console = Console(file=io.StringIO(), width=76, record=True, color_system="truecolor", force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), f"trm solve {PUZZLE}\n"))
    console.print(solution_screen(answer.solution))
    OUT.write_text(_FONTS.sub("", console.export_svg(title="trm", unique_id="solve")), encoding="utf-8")
    print(OUT)


if __name__ == "__main__":
    main()
