"""`trm inspect-model`: the numbers are those of the real network, the screen fits, mistakes are said."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from typer.testing import CliRunner

from tests.support.boards import write_boards
from tests.support.capsules import build, make_draws
from tests.support.networks import CASES
from tests.support.networks import make_batch as make_tokens
from tests.support.selection import slow_but
from trm_cli.app import create_app
from trm_cli.data.stream.blank import blank_rows
from trm_cli.data.stream.shape import StreamShape
from trm_cli.errors import TrmError
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.measuring import measure, operation_counter
from trm_cli.schedule.clock import SETTLED
from trm_cli.units import memory_size

SHALLOW = ("arch.L_layers=1", "arch.text_layers=1")
MINI = ("unified-mini", *SHALLOW, "dataset_args.text_window=64", "arch.pair_cells=false", "ema=true", "device=cpu",
        "--precision", "float32")  # fmt: skip
QUICK = ["arch.hidden_size=32", "arch.num_heads=2", "arch.L_layers=1", "arch.puzzle_emb_ndim=32"]
QUICK += ["arch.H_cycles=1", "arch.L_cycles=2"]


def call(*words: str) -> Any:
    return CliRunner().invoke(create_app(), ["inspect-model", *words])


@cache
def document(*words: str) -> dict[str, Any]:
    done = call(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def really(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Operations forward and operations of an update, of an update that is computed."""
    rows = len(next(iter(batch.values())))
    # Fused attention is not counted.
    with sdpa_kernel(SDPBackend.MATH), operation_counter() as counter:
        result = model(model.initial_carry(batch), batch, SETTLED, make_draws(model, rows, 0))  # type: ignore[operator, arg-type]
        forward = counter.get_total_flops()
        result.loss.backward()
    return forward, counter.get_total_flops()


def on_meta(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.to("meta") for name, value in batch.items()}


@pytest.mark.parametrize("name", ["attention", "mlp_t", "hrm", "transformer"])
def test_what_is_measured_of_tokens_is_what_an_update_does(name: str) -> None:
    batch = make_tokens(0)
    # In bfloat16 the processor writes attention out, so that its products are counted.
    forward, update = really(CASES[name].model("bfloat16"), batch)
    model = CASES[name].model().to("meta")
    measured = measure(model, on_meta(batch))
    assert measured.forward == forward
    # A fused kernel computes its scores twice; the processor's sum over a batch of products (mlp_t) is not counted.
    assert measured.update == pytest.approx(update, rel=0.15 if name == "mlp_t" else 0.02)
    parts = model.components(measured, 5)
    assert sum(part.parameters for part in parts) == sum(parameter.numel() for parameter in model.parameters())
    assert 5 * sum(part.forward for part in parts) == pytest.approx(forward, rel=1e-3)
    assert 5 * sum(part.training for part in parts) == pytest.approx(measured.update, rel=1e-3)


def test_what_is_measured_of_capsules_is_what_an_update_does() -> None:
    def make() -> MultimodalHesc:
        torch.manual_seed(0)
        return build(seq_len=36, board_side=6)

    # Whole boards: of smaller ones a processor computes the cells that there are.
    shape = StreamShape(6, 0)
    batch = {name: torch.as_tensor(value) for name, value in blank_rows(shape, Kind.GRID, 6).items()}
    forward, update = really(make(), batch)
    measured = measure(make().to("meta"), on_meta(batch))
    assert measured.forward == forward
    assert update <= measured.update < 1.1 * update


def test_the_document_adds_up() -> None:
    found = document(*MINI)
    counts = {name: part["parameters"] for name, part in found["components"].items()}
    total = sum(counts.values())
    assert found["parameters"] == total
    assert {"symbols", "workspace", "tokens", "text", "answers", "puzzle table"} <= set(counts)
    assert "mtp" not in counts
    memory = found["memory"]
    assert memory["weights"] == 4 * total
    assert memory["gradients"] * 2 == memory["moments"] == 2 * memory["average"]
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    operations = sum(part["training"] for part in found["components"].values())
    assert found["update_operations"] == found["batch_size"] * operations


def test_a_row_of_each_kind_and_demonstrations_have_a_price() -> None:
    found = document(*MINI)
    kinds = {one["name"]: one for one in found["kinds"]}
    assert list(kinds) == ["grid 30x30", "text of 64 bytes", "picture"]
    assert kinds["grid 30x30"]["forward"] == sum(part["forward"] for part in found["components"].values())
    ten, thirty, looking = found["demonstrations"]
    assert [ten["name"], thirty["name"]] == ["3 pairs of 10x10, read once", "3 pairs of 30x30, read once"]
    # Nine times as many cells, and attention among them.
    assert 9 < thirty["forward"] / ten["forward"] < 81
    assert 0 < looking["forward"] < 0.1 * kinds["grid 30x30"]["forward"] < thirty["forward"]
    assert all(one["training"] > 2 * one["forward"] for one in (*found["kinds"], *found["demonstrations"]))
    assert "shape" not in found["rows"] and found["rows"]["seq_len"] == 900
    # Where cells look at the cells of demonstrations, these are read anew in each step, and looking costs by the cell.
    each_ten, each_thirty = document(*MINI, "arch.pair_cells=true")["demonstrations"]
    assert [each_ten["name"], each_thirty["name"]] == ["3 pairs of 10x10, each step", "3 pairs of 30x30, each step"]
    assert each_thirty["forward"] > thirty["forward"] + looking["forward"]


@pytest.mark.slow
def test_settings_batch_and_precision_change_it() -> None:
    assert "mtp" in document("multimodal_hesc_mini", *QUICK, "arch.enable_mtp=true")["components"]
    small, large = (document("trm", *QUICK, "--batch-size", size, "--precision", "float32") for size in ("8", "16"))
    assert large["memory"]["activations"] == pytest.approx(2 * small["memory"]["activations"], rel=0.1)
    half = document("trm", *QUICK, "--batch-size", "16", "--precision", "float16")
    assert half["memory"]["activations"] < 0.7 * large["memory"]["activations"]
    assert [verdict["fits"] for verdict in half["verdicts"]] == [True, True]


def test_a_batch_that_does_not_fit_is_told_with_one_that_would() -> None:
    words = ("trm", *QUICK, "--precision", "float32", "--batch-size")
    done = call(*words, "60000")
    assert done.exit_code == 0
    line = next(line for line in done.stdout.splitlines() if "T4" in line)
    assert "does not fit" in line and "a batch of" in line
    largest = document(*words, "60000")["verdicts"][0]["largest_batch"]
    fits = [document(*words, str(rows)) for rows in (largest, largest + 1)]
    assert [one["verdicts"][0]["fits"] for one in fits] == [True, False]


def test_sizes_come_from_a_dataset(tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data", identifiers=7)
    found = document("trm_quickstart", "arch.puzzle_emb_ndim=64", "arch.puzzle_emb_len=1", "--data", str(data))
    assert found["rows"] == {"vocab_size": 6, "seq_len": 16, "identifiers": 7, "source": str(data), "test_rows": 16}
    assert found["components"]["puzzle table"]["parameters"] == 7 * 64


@pytest.mark.parametrize("words", slow_but(["", "micro_batch_size=4", "eval_batch_size=3", "arch.hidden_size=128"], ""))
def test_it_says_what_a_dry_run_says(words: str, tmp_path: Path, dataset: Path) -> None:
    # Fault A12: a run was refused that `inspect-model` let pass.
    named = ["sudoku-4x4", "global_batch_size=16", "device=cpu", f"data_paths=[{dataset}]", *words.split()]
    inspected = document(*named)["memory"]["total"]
    run = ["train", *named, f"checkpoint_path={tmp_path / 'run'}", "threads=1", "wandb=disabled", "--dry-run"]
    done = CliRunner().invoke(create_app(), run)
    assert done.exit_code == 0 and f"needs {memory_size(inspected)} (" in done.stdout


def test_a_screen_of_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from trm_cli.console.output import stdout

    monkeypatch.setenv("COLUMNS", "80")
    stdout.cache_clear()
    done = call(*MINI, "dataset_args.demonstrations=0")
    stdout.cache_clear()
    assert done.exit_code == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for word in ("workspace", "parameters", "activations", "a T4 with 15 GB: fits", "TFLOP"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["multimodal_hecs"], "did you mean `multimodal_hesc`"),
        (["trm", "--precision", "half"], "expected one of auto, float32"),
        (["trm", "arch.num_heads=7"], "num_heads"),
        (["trm", "--data", "/nowhere"], "/nowhere does not exist"),
    ],
)
def test_mistakes_are_said(words: list[str], said: str) -> None:
    error = call(*words).exception
    assert isinstance(error, TrmError)
    problems = [f"{problem.message} {problem.hint}" for problem in getattr(error, "problems", ())]
    assert said in " ".join([str(error), str(error.hint), *problems])
