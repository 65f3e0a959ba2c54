"""One supervision step as ONNX: computed by onnxruntime it is that of torch, whatever the number of rows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.commands import trm_here
from tests.support.networks import HRM, TRANSFORMER, TRM, Case
from trm_cli.data.puzzles.families import Sudoku
from trm_cli.errors import CheckpointError, UsageError
from trm_cli.evaluation.solving.puzzle import answers_by_step
from trm_cli.training.run.published import SHIPPED
from trm_cli.training.run.trained_model import TrainedModel, load_file
from trm_cli.training.transfer import onnx_step
from trm_cli.training.transfer.onnx_network import OnnxNetwork
from trm_cli.training.transfer.onnx_step import export_onnx, open_session

onnxruntime = pytest.importorskip("onnxruntime")
WEIGHTS = SHIPPED / "sudoku-4x4/model.safetensors"
BOARDS = ["1......1..343..2", "1.....3..4.....2", ".4.2......13..24"]


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return load_file(WEIGHTS)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The step of the model that comes with the program, written by the command."""
    out = tmp_path_factory.mktemp("onnx") / "step.onnx"
    done = trm_here(
        "checkpoints", "export", "pretrained/sudoku-4x4", "--format", "onnx", "--out", str(out), cwd=out.parent
    )
    assert done.returncode == 0 and "within" in done.stderr, done.stderr
    return out


@pytest.mark.slow  # torch's exporter takes nine seconds
def test_solved_by_onnxruntime_the_answers_are_those_of_torch(trained: TrainedModel, exported: Path) -> None:
    network = trained.model.eval()
    tokens = np.array([Sudoku((2, 2), 16).parse(board) for board in BOARDS])
    other = OnnxNetwork(network, open_session(exported.read_bytes()))  # type: ignore[arg-type]
    none, cpu = np.zeros(len(BOARDS), np.int32), torch.device("cpu")
    ours, theirs = (list(answers_by_step(one, tokens, none, cpu)) for one in (network, other))  # type: ignore[arg-type]
    assert len(ours) == len(theirs) == 6
    for one, two in zip(ours, theirs, strict=True):
        assert (one.answers == two.answers).all()
        assert np.abs(one.confidence - two.confidence).max() < 1e-4


#: A network of each family; of TRM with attention, with one latent state, and one that reads from left to right.
NETWORKS = {
    "attention": Case("trm", TRM),
    "mlp_t": Case("trm", TRM | {"mlp_t": True}),
    "one state": Case("trm", TRM | {"latent": "single"}),
    "hrm": Case("hrm", HRM),
    "transformer": Case("transformer", TRANSFORMER),
}


@pytest.mark.parametrize(("size", "share"), [(1.0, 1.0), (50.0, 1.0), (524.288, 0.1)])
def test_a_difference_counts_whole_as_far_as_float32_resolves_it(size: float, share: float) -> None:
    expected = torch.tensor([0.0, size], dtype=torch.float64)
    assert onnx_step._distance(expected + 3e-4, expected) == pytest.approx(3e-4 * share, rel=1e-3)


@pytest.mark.slow  # torch's exporter takes nine seconds
def test_a_network_with_large_logits_can_be_exported(tmp_path: Path) -> None:
    assert export_onnx(load_file(SHIPPED / "sudoku-9x9/model.safetensors"), tmp_path / "x.onnx") < 1e-4


@pytest.mark.slow  # torch's exporter takes seconds for each
@pytest.mark.parametrize("name", NETWORKS)
def test_the_step_of_every_family_is_that_of_torch(name: str) -> None:
    network = NETWORKS[name].model().eval()
    assert network.puzzle_embedding is not None, "rows of the table are read as well"
    data = onnx_step._exported(network).SerializeToString()
    assert 0 < onnx_step._largest_difference(network, data) < 1e-4
    network.lm_head.data += 1.0
    assert onnx_step._largest_difference(network, data) > 1e-3, "what differs is seen"


@pytest.mark.slow
def test_the_loop_of_the_page_solves(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of docs/models.md runs as it stands there."""
    page = (Path(__file__).parents[3] / "docs/models.md").read_text()
    (code,) = [block for block in page.split("```python\n")[1:] if "onnxruntime" in block]
    monkeypatch.chdir(exported.parent)
    names: dict[str, object] = {}
    exec(code.partition("```")[0], names)
    assert str(names["board"]) == "1324423124133142"


def test_a_step_that_differs_is_not_written(
    trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_step, "_exported", lambda _: None)
    monkeypatch.setattr(onnx_step, "_with_facts", lambda *_: b"")
    monkeypatch.setattr(onnx_step, "_largest_difference", lambda *_: float("nan"))
    with pytest.raises(CheckpointError, match="differs from torch"):
        export_onnx(trained, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_it_cannot_do_is_told(trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="depend on what is in the rows"):
        export_onnx(replace(trained, model=torch.nn.Linear(1, 1)), tmp_path / "x.onnx")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises((UsageError, ValueError), match="onnxscript"):
        export_onnx(trained, tmp_path / "x.onnx")
