"""A maze of another size than the network was trained on is answered where its layers do not depend on the size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_builders import maze
from tests.support.commands import trm
from tests.support.runs import train
from trm_cli.errors import UsageError
from trm_cli.models.networks.trm import TrmConfig
from trm_cli.training.run.trained_model import load_file
from trm_cli.training.transfer.onnx_network import with_onnx
from trm_cli.workflows.other_size import fixed_by, resized
from trm_cli.workflows.scores.evaluate import stored_evaluation

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
    larger = ["--size", "6", "--train", "4", "--test", "9", "--min-path", "4", "--output-dir", str(home / "larger")]
    assert maze.main([*larger, "--workers", "1"]) == 0
    for name, words in kinds.items():
        train(home / "data", home / f"checkpoints/{name}", *SMALL, *words, arch="trm_maze", stop_at_step=1)
    return home


@pytest.mark.parametrize("run", ["rope", "neighbours"])
def test_it_is_answered_with_a_word(run: str, home: Path) -> None:
    done = trm("solve", run, LARGER, "--json", cwd=home)
    assert done.returncode in (0, 5), done.stderr
    assert len(json.loads(done.stdout)["answer"].replace("\n", "")) == 36
    assert "trained on 3x3 mazes, and this is 6x6" in done.stderr
    assert "init_from=" in done.stderr


@pytest.mark.parametrize(("run", "said"), [("places", "an MLP along their places"), ("learned", "a learned position")])
def test_where_it_cannot_be_it_is_told_why(run: str, said: str, home: Path) -> None:
    done = trm("solve", run, LARGER, cwd=home)
    assert done.returncode == 2 and said in done.stderr and "it exists for 3x3 alone" in done.stderr
    assert "dataset_builders.maze --size 6" in done.stderr


@pytest.mark.parametrize("run", ["rope", "neighbours"])
def test_a_dataset_of_another_size_is_evaluated(run: str, home: Path) -> None:
    done = trm("evaluate", run, "--data", "larger", "--steps", "3", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 9
    assert "trained on 3x3 mazes, and this is 6x6, which may need more steps (--steps)" in done.stderr


def test_a_dataset_of_another_size_is_refused_with_the_reason(home: Path) -> None:
    done = trm("evaluate", "places", "--data", "larger", cwd=home)
    assert done.returncode == 3 and "its seq_len is 36, the model was made for 9, and it mixes the cells" in done.stderr


def test_the_weights_are_those_that_were_trained(home: Path) -> None:
    import torch

    trained = load_file(home / "checkpoints/neighbours/latest.pt")
    larger = resized(trained, 36, torch.device("cpu"), "bfloat16").model
    assert (larger.seq_len, larger.dtype) == (36, torch.bfloat16)
    for name, weight in trained.model.state_dict().items():
        torch.testing.assert_close(larger.state_dict()[name], weight, rtol=0, atol=0)


def test_an_exported_network_reads_one_size(home: Path) -> None:
    import torch

    trained = with_onnx(load_file(home / "checkpoints/neighbours/latest.pt"))
    with pytest.raises(UsageError, match="an exported step reads boards of 3x3 alone, and this is 6x6"):
        resized(trained, 36, torch.device("cpu"))


def test_an_evaluation_of_other_mazes_is_not_that_of_the_run(home: Path) -> None:
    for words in ([], ["--data", "larger"]):
        assert trm("evaluate", "neighbours", *words, cwd=home).returncode == 0
    found = stored_evaluation(home / "checkpoints/neighbours")
    assert found is not None and "other" not in found["dataset"]


def test_boxes_that_do_not_tile_a_board_are_told() -> None:
    arch = TrmConfig(pos_encodings="board", box_rows=2, box_columns=3)
    assert fixed_by(arch, 36) == "" and "boxes of 2x3 cells, which do not tile 8x8" in fixed_by(arch, 64)


def test_test_mazes_of_another_size_are_refused_before_the_training(home: Path) -> None:
    words = ("data_paths=[data]", "data_paths_test=[larger]", "arch=trm_maze", "checkpoint_path=checkpoints/mixed")
    done = trm("train", *words, *SMALL, "--device", "cpu", cwd=home)
    assert done.returncode == 3 and "its seq_len is 36, not 9" in done.stderr
