"""The command lines of the documentation are run, on tiny data; what is long is planned, what is not run is listed.

The blocks of README.md are run by tests/test_readme.py as they stand, those of docs/evaluation.md by
tests/evaluation/test_documentation.py, job files by tests/workflows/launch, the code of
docs/python.md by tests/api/test_api.py.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.builders.test_sudoku_sources import rows
from tests.support.commands import python, trm_here
from tests.test_docs import PAGES, ROOT, inline, program
from trm_cli.config.registry import SHIPPED

#: Lines that are not run, and why.
NOT_RUN = {
    "trm quickstart": "trains for minutes: tests/workflows/test_quickstart.py",
    "trm demo": "serves until it is ended: tests/demo/test_server.py",
    "hf auth login": "asks for a token",
    "trm checkpoints push": "a hub on this machine: tests/workflows/publish/test_hub.py",
    "trm checkpoints pull": "the same",
    "trm solve hf:": "the same",
    "trm train sudoku-4x4 init_from=hf:": "the same",
    "trm checkpoints import": "files of other programs: tests/training/transfer",
    "git clone": "the repository itself",
    "make": "tests/test_readme.py asks make itself",
    "pip install": "installs",
    ".venv/bin/python -m pytest": "tests within tests",
    "rm -rf": "a release: tests/test_wheel.py builds the same",
    ".venv/bin/python -c": "a release: tests/test_wheel.py builds the same",
    ".venv/bin/python -m twine": "a release: tests/test_packages.py checks the same",
    "trm train sudoku-4x4 epochs=40 checkpoint_path=checkpoints/seeds": "three runs: tests/commands/test_compare.py",
    "trm evaluate checkpoints/sudoku-extreme-fast": "a run of an hour on a GPU",
    "trm evaluate checkpoints/maze-small": "a run on mazes: tests/workflows/test_other_sizes.py",
    "trm sweep": "several runs: tests/commands/test_sweep.py",
    "torchrun": "several machines: tests/training/distributed runs launchers on this one",
}
#: Models whose sources are downloaded or large: their training is planned by inspect-schedule instead.
ELSEWHERE = ("sudoku-extreme", "sudoku-extreme-fast", "sudoku-small", "sudoku-6x6", "unified-mini", "maze-small")
#: Words that make a line short. A later flag wins.
SHORTER = {
    "trm train sudoku-4x4": "--stop-at-step 1 --fresh arch.hidden_size=16 checkpoint_path=checkpoints/new",
    "trm train reversed": "--stop-at-step 1 arch.hidden_size=32 device=cpu",
    "trm resume": "--dry-run",
    "trm build-dataset": "--dry-run",
    "trm checkpoints prune": "--dry-run",
    "trm inspect-model multimodal_hesc": "arch.L_layers=1 arch.H_layers=1 arch.text_layers=1",
    "python -m dataset_builders.arc": "--num-aug 2",
    "python -m dataset_builders.maze": "--test 8",
}
#: What stands in a page for something that a reader has, and what this folder has.
HERE = {
    "--from 322": "--from 100",
    "resume checkpoints/sudoku-extreme": "resume checkpoints/sudoku-4x4",
    "--box 3 3": "--box 2 2",
    "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79": "1.........2....3",
    "dataset_args.output_dir=datasets/few": "dataset_args.output_dir=datasets/few --dry-run",
    "s3://bucket": "file://bucket",
    "--output-dir D ...": "--output-dir D --sources stories --limit 300 --text-window 256 --batch-records 5",
}


def lines_of(page: Path) -> list[str]:
    """The command lines that a reader can type: those of blocks, and those in sentences that are more than a name."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines = [] if page.name in ("README.md", "evaluation.md") else lines
    if any("SBATCH" in line for line in lines):
        lines = lines[: lines.index("#!/bin/bash")]
    typed = [line for line in lines if line and not line.startswith("#")]
    return [*typed, *(line for line in inline(page) if not names_a_command(line))]


def names_a_command(line: str) -> bool:
    """Whether a sentence only names a command, without anything to do."""
    words, command = line.split()[1:], program()
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    return not words or command is program()


def shortened(line: str) -> str | None:
    """The line as it is run here; None where it is not run."""
    line = line.partition("   #")[0].strip()
    if any(line.startswith(words) for words in NOT_RUN):
        return None
    for theirs, ours in HERE.items():
        line = line.replace(theirs, ours)
    words = line.split()
    if words[:2] == ["trm", "train"] and words[2] in ELSEWHERE:
        settings = [word for word in words[3:] if "=" in word]
        return " ".join(["trm inspect-schedule", words[2], *settings, "--samples-per-epoch 1000"])
    before, arrow, file = line.partition(" > ")
    more = [words for first, words in SHORTER.items() if line.startswith(first) and words not in line]
    return " ".join([before, *more]) + arrow + file


@pytest.fixture(scope="module")
def place(trained: Path, canvases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: runs and datasets by the names that the pages use, and files of their own."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("sudoku-4x4", "sudoku-small", "other", "seeds/seed-0", "seeds/seed-1"):
        shutil.copytree(trained / "run", folder / "checkpoints" / name, symlinks=True)
    shutil.copytree(trained / "data", folder / "datasets/sudoku-4x4")
    few = ("--box", "2", "2", "--train", "64", "--test", "8", "--output-dir", "bucket/boards")
    assert python("-m", "dataset_builders.sudoku", *few, cwd=folder).returncode == 0
    shutil.copytree(canvases, folder / "datasets/vision_unified")
    for name in (
        "docs/figures",
        "notes",
        "ARC-AGI-2/data/training",
        "ARC-AGI-2/data/evaluation",
        "dataset_builders",
        "configs/models",
    ):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "dataset_builders/template_builder.py", folder / "dataset_builders")
    boards = [f"{row[1]},{row[2]}" for row in rows(30, test=False) + rows(6, test=True)]
    (folder / "puzzles.csv").write_text("\n".join(["puzzle,solution", *boards]))
    (folder / "book.txt").write_text("Once upon a time there was a book. " * 40)
    notes = (f"Note {n}: long enough to be a window of its own, as notes are. " * 4 for n in range(60))
    (folder / "notes/all.txt").write_text("<|endoftext|>".join(notes))
    shutil.copytree(folder / "notes", folder / "bucket/notes")
    shutil.copy(folder / "book.txt", folder / "bucket")
    for number, subset in enumerate(("training", "evaluation")):
        pairs = [{"input": [[first, number]], "output": [[number, first]]} for first in (3, 4, 5)]
        task = {"train": pairs[:2], "test": pairs[2:]}
        (folder / f"ARC-AGI-2/data/{subset}/0000000{number}.json").write_text(json.dumps(task))
    stories = ("--output-dir", "datasets/stories", "--source", "notes", "--seq-len", "64")
    assert python("-m", "dataset_builders.text", *stories, cwd=folder).returncode == 0
    page = (ROOT / "docs/custom_dataset.md").read_text()
    (folder / "configs/models/reversed.yaml").write_text(
        re.sub(r"^   ", "", page.partition("```yaml\n")[2].partition("   ```")[0], flags=re.MULTILINE)
    )
    page = (ROOT / "docs/long_runs.md").read_text()
    (folder / "sweep.yaml").write_text(page[page.index("# sweep.yaml") :].partition("```")[0])
    return folder


RUN = [page for page in PAGES if page.name != "CHANGELOG.md" and any(map(shortened, lines_of(page)))]
#: Enough for every day: a model of one's own from its template on, and what reads configurations and plans.
QUICK = ("custom_dataset.md", "configuration.md", "schedule.md", "index.md")


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.name, marks=[pytest.mark.slow] * (page.name not in QUICK)) for page in RUN]
)
def test_the_lines_of_a_page_end_well(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", str(place / "copies"))
    for written_line in lines_of(page):
        line = shortened(written_line)
        if line is None:
            continue
        words = shlex.split(line.partition(" > ")[0], comments=True)
        if words[:2] == ["trm", "build-dataset"] and words[2] == "reversed":
            words.remove("--dry-run")
        if words[0] == "cp":
            shutil.copy(place / words[1], place / words[2])
            continue
        done = trm_here(*words[1:], cwd=place) if words[0] == "trm" else python(*words[1:], cwd=place)
        assert done.returncode == 0, f"{written_line}\nrun as: {line}\n{done.stderr}"


def test_every_reason_is_used() -> None:
    lines = [line for page in PAGES if page.name != "CHANGELOG.md" for line in lines_of(page)]
    every = [*NOT_RUN, *SHORTER, *HERE]
    assert [words for words in every if not any(words in line for line in lines)] == []
    assert set(ELSEWHERE) <= {path.stem for path in (SHIPPED / "models").glob("*.yaml")}
