"""A maze of another size than the network was trained on is answered where its layers do not depend on the size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_builders import maze
from tests.support.commands import trm
from tests.support.runs import train

LARGER = "S.....\n......\n......\n......\n......\n.....G"
#: By rows: S.. ##. ##G and S.. .#. .#G, with their ways.
PAIRS = {"train": "S  ## ##G,Soo##o##G", "test": "S   #  #G,Soo #o #G"}
SMALL = ("arch.hidden_size=16", "arch.num_heads=2", "arch.puzzle_emb_ndim=0", "arch.puzzle_emb_len=0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on mazes of 3x3 cells: two whose networks take any size, two whose do not."""
    home = tmp_path_factory.mktemp("mazes")
    (home / "csv").mkdir()
    for split, pair in PAIRS.items():
        (home / f"csv/{split}.csv").write_text(f"question,answer\n{pair}\n")
    assert maze.main(["--source", str(home / "csv"), "--output-dir", str(home / "data"), "--workers", "1"]) == 0
    kinds = {
        "rope": (),
        "neighbours": ("arch.neighbours=true", "arch.pos_encodings=none"),
        "places": ("arch.mlp_t=true", "arch.pos_encodings=none"),
        "learned": ("arch.pos_encodings=learned",),
    }
    for name, words in kinds.items():
        train(home / "data", home / f"checkpoints/{name}", *SMALL, *words, arch="trm_maze", stop_at_step=1)
    return home


@pytest.mark.parametrize("run", ["rope", "neighbours"])
def test_it_is_answered_with_a_word(run: str, home: Path) -> None:
    done = trm("solve", run, LARGER, "--json", cwd=home)
    assert done.returncode in (0, 5), done.stderr
    assert len(json.loads(done.stdout)["answer"].replace("\n", "")) == 36
    assert "trained on 3x3 mazes, and this one is 6x6" in done.stderr
    assert "init_from=" in done.stderr


@pytest.mark.parametrize(("run", "said"), [("places", "an MLP along their places"), ("learned", "a learned position")])
def test_where_it_cannot_be_it_is_told_why(run: str, said: str, home: Path) -> None:
    done = trm("solve", run, LARGER, cwd=home)
    assert done.returncode == 2 and said in done.stderr and "it exists for 3x3 alone" in done.stderr
    assert "dataset_builders.maze --size 6" in done.stderr
