"""A run that was stopped and continued is the run that was never stopped, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.boards import write_boards
from tests.support.runs import HESC, differing, prepare, records, train
from tests.support.selection import slow_but
from trm_cli.models.hesc import losses
from trm_cli.models.hesc.losses import AnswerCheck
from trm_cli.models.hesc.passes import NetworkPass
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.recording.metrics_log import truncate_after
from trm_cli.training.run.build import make_model

VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mlp-t": ("trm_quickstart", ()),
    "attention": (
        "trm_sudoku_att",
        ("arch.num_heads=2", "arch.L_cycles=2", "arch.H_cycles=2", "arch.puzzle_emb_ndim=16"),
    ),
    "adamw": ("trm_quickstart", ("optimizer=adamw", "grad_clip=1.0", "log_interval=4")),
    "float16": ("trm_quickstart", ("precision=float16",)),
    "bfloat16": ("trm_quickstart", ("precision=bfloat16",)),
    "positions of a board, muon": (
        "trm_quickstart",
        (
            "arch.mlp_t=false",
            "arch.num_heads=2",
            "arch.pos_encodings=board",
            "arch.box_rows=2",
            "arch.box_columns=2",
            "optimizer=muon",
            "arch.gate_norm=true",
            "arch.pre_norm=true",
        ),
    ),
    "starts, noise, depths": (
        "trm_quickstart",
        (
            "arch.starts=2",
            "arch.start_noise=1",
            "arch.step_noise=0.01",
            "arch.H_cycles_start=1",
            "arch.halt_max_steps_start=2",
            "ema_start_ratio=0.4",
            "arch.label_smoothing=0.1",
            "arch.q_weight=0.1",
        ),
    ),
    "neighbours, muon": ("trm_quickstart", ("arch.neighbours=true", "arch.mlp_t=false", "optimizer=muon")),
    "without ema": ("trm_quickstart", ("ema=false", "step_rounding=whole_run")),
}


@pytest.mark.parametrize(
    "variant", slow_but(VARIANTS, "attention", "bfloat16", "positions of a board, muon", "starts, noise, depths")
)
def test_a_continued_run_equals_an_uninterrupted_one(variant: str, tmp_path: Path) -> None:
    arch, overrides = VARIANTS[variant]
    data = write_boards(tmp_path / "data", identifiers=5)
    whole = train(data, tmp_path / "whole", *overrides, arch=arch)
    for stop in (1, 7, 8, 20, 29):  # at the start, within an interval, at a checkpoint, at an evaluation, near the end
        train(data, tmp_path / "parts", *overrides, arch=arch, stop_at_step=stop)
    parts = train(data, tmp_path / "parts", *overrides, arch=arch)
    assert differing(whole.state.state_dict(), parts.state.state_dict()) == []
    for link in ("latest.pt", "best.pt"):
        left, right = (load_checkpoint((tmp_path / run / link).resolve())[0] for run in ("whole", "parts"))
        assert differing(left, right, link) == []
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()


def test_the_comparison_sees_a_lost_carry(tmp_path: Path, dataset: Path) -> None:
    """The test above would pass on anything if it could not see what a missing carry changes."""
    whole = train(dataset, tmp_path / "whole")
    train(dataset, tmp_path / "parts", "save_carry=false", stop_at_step=11)
    parts = train(dataset, tmp_path / "parts")
    assert differing(whole.state.state_dict(), parts.state.state_dict()) != []


def test_an_evaluation_that_was_cut_short_is_repeated(tmp_path: Path, dataset: Path) -> None:
    whole = train(dataset, tmp_path / "whole")
    run, recorder = prepare(dataset, tmp_path / "parts")
    from trm_cli.training.signals import StopRequest

    with StopRequest() as stop:
        recorder.evaluating = lambda rows: stop._receive(15, None)  # type: ignore[method-assign]
        assert run.train(recorder, stop) == 75
    assert (run.state.step, run.state.evaluated_step) == (10, 0)
    parts = train(dataset, tmp_path / "parts")
    assert differing(whole.state.state_dict(), parts.state.state_dict()) == []
    assert records(tmp_path / "whole", "eval") == records(tmp_path / "parts", "eval")


def test_lines_after_the_resumed_step_and_a_torn_line_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = ['{"kind": "train", "step": 1}', '{"kind": "train", "step": 2}', '{"kind": "eval", "step": 2}']
    path.write_text("\n".join(lines) + '\n{"kind": "train", "st')
    truncate_after(path, step=5, evaluated_step=2)
    assert path.read_text().splitlines() == lines
    truncate_after(path, step=2, evaluated_step=0)
    assert path.read_text().splitlines() == lines[:2]
    truncate_after(path, step=1, evaluated_step=0)
    assert path.read_text().splitlines() == lines[:1]
    truncate_after(tmp_path / "absent", step=1, evaluated_step=0)


def test_a_continued_capsule_run_equals_an_uninterrupted_one(
    tmp_path: Path, canvases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_answers = losses.check_answers

    def lenient(thought: NetworkPass, target: Tensor) -> AnswerCheck:
        """Every tenth place right is right: rewards and values have something to tell apart."""
        check = check_answers(thought, target)
        return replace(check, right=check.share > 0.1)

    monkeypatch.setattr(losses, "check_answers", lenient)
    words = (*HESC, "epochs=1", "global_batch_size=64")
    whole = train(canvases, tmp_path / "whole", *words, arch="multimodal_hesc_mini")
    total = whole.plan.total_steps
    for stop in (1, total // 2 + 1):
        train(canvases, tmp_path / "parts", *words, arch="multimodal_hesc_mini", stop_at_step=stop)
    parts = train(canvases, tmp_path / "parts", *words, arch="multimodal_hesc_mini")
    assert differing(whole.state.state_dict(), parts.state.state_dict()) == []
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()
    # The comparison says something only where all of it was at work.
    state = whole.state.model.state_dict()
    fresh = make_model(whole.config, whole.datasets.train.metadata, "float32").state_dict()
    for name in ("replay.written", "q_network.target_hidden", "network.recursion.workspace.checksum.usual_detail"):
        assert not torch.equal(state[name], fresh[name]), name
    assert records(tmp_path / "whole", "train")[-1]["td_loss"] > 0


@pytest.mark.parametrize("arch", ["trm_quickstart", "multimodal_hesc_mini"])
def test_a_run_goes_on_in_another_precision(arch: str, tmp_path: Path, dataset: Path, canvases: Path) -> None:
    data, settings = (dataset, ()) if arch == "trm_quickstart" else (canvases, HESC)
    for precision, stop in (("float32", 2), ("bfloat16", 3), ("float16", 4), ("float32", 5)):
        run = train(data, tmp_path / "run", *settings, f"precision={precision}", arch=arch, stop_at_step=stop)
        assert run.state.carry is not None
        assert {value.dtype for value in run.state.carry.z.values()} == {getattr(torch, precision)}
        assert (run.state.step, run.state.skipped) == (stop, 0)
