"""Numbers that no build could be meant by are refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builders import arc, maze, streaming_builder, sudoku, text

Main = Callable[[list[str]], int]
HUGE = "99999999999999999999"
#: One way to write each number that a builder takes.
FLAGS: list[tuple[Main, str, str]] = [
    *(
        (sudoku.main, flag, HUGE)
        for flag in ("--train", "--test", "--num-aug", "--limit", "--workers", "--extra-clues")
    ),
    *((maze.main, flag, HUGE) for flag in ("--train", "--test", "--loops", "--limit")),
    *((arc.main, flag, HUGE) for flag in ("--num-aug", "--limit")),
    *((text.main, flag, HUGE) for flag in ("--seq-len", "--limit")),
    *((streaming_builder.main, flag, HUGE) for flag in ("--batch-records", "--augmentations", "--text-window")),
    (streaming_builder.main, "--limits", f"kaggle/combined={HUGE}"),
    (sudoku.main, "--shard", f"0/{HUGE}"),
]


@pytest.mark.parametrize(("main", "flag", "word"), FLAGS, ids=lambda part: getattr(part, "__module__", part))
def test_an_absurd_number_is_refused_with_the_largest_one(
    main: Main, flag: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "d"
    try:
        code = main(["--output-dir", str(root), "--plan", flag, word])
    except SystemExit as stop:  # what argparse refuses
        code = int(stop.code or 0)
    message = capsys.readouterr().err
    assert (code, len(message.splitlines())) == (2, 1)
    assert flag in message and word in message
    assert ("8 to 16,384" if flag == "--text-window" else "1,000,000,000") in message
    assert not root.exists()


@pytest.mark.parametrize("word", ["0", "-3", "many"])
def test_a_wrong_number_is_refused(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        maze.main(["--output-dir", str(tmp_path / "d"), "--train", word])
    expected = "a whole number" if word == "many" else "from 1 to 1,000,000,000"
    assert f"argument --train: must be {expected}, found " in capsys.readouterr().err
