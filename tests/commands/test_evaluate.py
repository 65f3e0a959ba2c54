"""`trm evaluate` as a person uses it: real runs, real processes, a kill, and mistakes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.support import commands
from tests.support.boards import write_boards
from tests.support.runs import HESC, records, train
from trm_cli.console.report.summary import headlines
from trm_cli.console.views.runs.evaluation import evaluation_screen
from trm_cli.errors import DatasetError, TrmError
from trm_cli.evaluation import rows
from trm_cli.evaluation.thinking import Attempt, attempt
from trm_cli.training.checkpoint.checkpoint_format import save_file
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.workflows.scores.evaluate import run_evaluation
from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest
from trm_cli.workflows.scores.report import collect

ROOT = Path(__file__).resolve().parents[2]


def trm(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return commands.trm(*words, cwd=cwd, COLUMNS="80")


def evaluated(run: Path, **wanted: Any) -> dict[str, Any]:
    """The result of an evaluation in this process."""
    return run_evaluation(EvaluationRequest(run=str(run), device="cpu", **wanted))[0]


def test_it_agrees_with_what_training_reported_to_the_last_puzzle(trained: Path) -> None:
    for reported in records(trained / "run", "eval"):
        file = trained / "run" / f"step_{reported['step']:08d}.pt"
        if not file.exists():
            continue
        made = evaluated(file)
        assert (made["count"], made["protocol"]["steps"]) == (reported["count"], reported["steps"])
        assert made["exact"]["hits"] == round(reported["exact_accuracy"] * reported["count"])
        assert made["token"]["value"] == pytest.approx(reported["token_accuracy"], abs=1e-9)
        assert made["q_halt"]["accuracy"]["value"] == pytest.approx(reported["q_halt_accuracy"])
        assert made["checkpoint"]["step"] == reported["step"]
    assert 0 < made["exact"]["hits"] < made["count"]


def test_it_computes_as_many_rows_at_once_as_the_run(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(dataset, tmp_path / "run", "eval_batch_size=7", "micro_batch_size=4", "epochs=2")
    seen: list[int] = []

    def counted(model: Any, batch: dict[str, Any], *more: Any, **options: Any) -> Attempt:
        seen.append(len(batch["labels"]))
        return attempt(model, batch, *more, **options)

    monkeypatch.setattr(rows, "attempt", counted)
    made = evaluated(tmp_path / "run")
    (reported,) = records(tmp_path / "run", "eval")
    assert seen == [4, 3] * 3, "three batches of 7, the last one filled up"
    assert made["exact"]["hits"] == round(reported["exact_accuracy"] * reported["count"])
    assert made["token"]["value"] == pytest.approx(reported["token_accuracy"], abs=1e-9)
    assert made["count"] == 16


def test_the_result_names_what_it_is_the_result_of(trained: Path) -> None:
    done = trm("evaluate", trained / "run", "--device", "cpu", "--json", cwd=trained)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    best = (trained / "run/best.pt").resolve()
    assert made["checkpoint"]["sha256"] == hashlib.sha256(best.read_bytes()).hexdigest()
    assert made["checkpoint"]["weights"] == "ema"
    assert made["dataset"]["split"] == "test" and len(made["dataset"]["fingerprint"]) == 64
    assert made["protocol"]["precision"] == "float32"
    assert {row["label"] for row in made["by_difficulty"]["clues"]} and "samples" not in made
    parts = made["by_difficulty"]["clues"]
    assert sum(row["exact"]["hits"] for row in parts) == made["exact"]["hits"]
    raw = evaluated(trained / "run", raw=True)
    assert raw["checkpoint"]["weights"] == "raw" and raw["key"] != made["key"]


def test_early_halting_scores_what_full_depth_says_it_would(trained: Path) -> None:
    full = evaluated(trained / "run")
    early = evaluated(trained / "run", early_halt=True)
    assert early["exact"]["hits"] == full["steps"]["halting"]["exact"]["hits"]
    assert early["steps"]["halting"]["distribution"] == full["steps"]["halting"]["distribution"]
    assert full["steps"]["exact_after"][-1] == full["exact"]
    deeper = evaluated(trained / "run", steps=7)
    assert deeper["steps"]["exact_after"][:3] == full["steps"]["exact_after"]
    assert len(deeper["steps"]["exact_after"]) == 7


def test_the_training_set_is_scored_without_its_augmentations(trained: Path) -> None:
    assert evaluated(trained / "run", split="train")["count"] == 40
    assert evaluated(trained / "run", split="train", limit=3, votes=5)["count"] == 15


def test_a_network_that_diverged_is_evaluated(trained: Path, tmp_path: Path) -> None:
    """NaN everywhere: no traceback, and a document that is JSON."""
    shutil.copytree(trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns("evaluations"))
    state, summary = load_checkpoint((tmp_path / "run/best.pt").resolve())
    for tensors in (state["model"], state["ema"]):
        for name, tensor in tensors.items():
            tensors[name] = tensor * float("nan")
    save_file((tmp_path / "run/best.pt").resolve(), state, summary)
    made = evaluated(tmp_path / "run", restarts=2)
    assert (made["exact"]["hits"], made["q_halt"]["accuracy"]["value"]) == (0, 1.0)


def test_restarts_and_predictions(trained: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    made = evaluated(trained / "run", restarts=3, limit=20, predictions=tmp_path / "all.npz")
    restarts = made["restarts"]
    assert restarts["single"][0] == made["exact"]
    assert restarts["any"]["hits"] >= max(one["hits"] for one in restarts["single"])
    with np.load(tmp_path / "all.npz") as table:
        assert table["answer"].shape == (60, 16)
        first = table["restart"] == 0
        assert table["right"][first].sum() == made["exact"]["hits"]
        written = {name: table[name] for name in table.files}
    evaluated(trained / "run", restarts=3, limit=20, predictions=tmp_path / "all.parquet")
    read = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert set(read.column_names) == set(written)
    for name, values in written.items():
        np.testing.assert_array_equal(np.array(read[name].to_pylist()), values)


def test_views_and_passes_until_the_rules_hold(trained: Path) -> None:
    views = evaluated(trained / "run", views=4)
    alone, chosen = views["exact"], views["restarts"]["chosen"]
    assert views["restarts"]["count"] == 4 and views["protocol"]["views"] == 4
    assert alone["hits"] < chosen["checked"]["exact"]["hits"] <= views["restarts"]["any"]["hits"]
    assert "smallest_residual" in chosen

    checked = evaluated(trained / "run", until_solved=16)
    assert checked["exact"] == alone, "the figures of one pass are those of the plain protocol"
    curve = checked["checked"]["curve"]
    assert [one["passes"] for one in curve] == [1, 2, 4, 8, 16]
    assert curve[0]["exact"] == alone
    hits = [one["valid"]["hits"] for one in curve]
    assert hits == sorted(hits) and hits[-1] > hits[0]
    assert all(one["valid"]["hits"] >= one["exact"]["hits"] for one in curve), "some have several solutions"
    single = evaluated(trained / "run")
    assert 1 < checked["checked"]["mean_passes"] < 16
    assert checked["checked"]["mean_steps"] == pytest.approx(
        checked["checked"]["mean_passes"] * single["steps"]["mean"]
    )
    assert len(single["steps"]["residual_after"]) == 3 and min(single["steps"]["residual_after"]) > 0
    assert "valid" not in single and "checked" not in single


def test_views_and_depths_that_cannot_be(trained: Path, canvases: Path) -> None:
    both = trm("evaluate", "run", "--until-solved", "--views", "2", cwd=trained)
    assert both.returncode == 2 and "give --most-views instead of --views" in both.stderr
    words = trm("evaluate", "run", "--steps", "3,many", cwd=trained)
    assert words.returncode == 2 and "--steps 3,many: expected a number of supervision steps" in words.stderr
    curve = trm("evaluate", "run", "--steps", "2,5,3", "--limit", "9", cwd=trained)
    shown = [line.split()[0] for line in curve.stdout.split("by step")[1].splitlines()[3:7]]
    assert shown == ["2", "3", "5", "halting"]


def test_a_killed_evaluation_goes_on_where_it_was(trained: Path, tmp_path: Path) -> None:
    write_boards(tmp_path / "many", train=20, test=120)
    words = [
        "evaluate",
        trained / "run",
        "--data",
        tmp_path / "many",
        "--batch-size",
        2,
        "--device",
        "cpu",
        "--json",
        "--out",
    ]
    whole = trm(*words, tmp_path / "whole", cwd=trained)
    assert whole.returncode == 0, whole.stderr
    process = commands.Process("-m", "trm_cli", *words, tmp_path / "killed", cwd=trained)
    while process.poll() is None and len(list((tmp_path / "killed").glob("*/partial/batch-*.npz"))) < 8:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    partial = next((tmp_path / "killed").glob("*/partial"))
    done = sorted(partial.glob("batch-*.npz"))
    assert 8 <= len(done) < 60
    done[3].write_bytes(done[3].read_bytes()[:100])  # and the disk was not kind either
    second = trm(*words, tmp_path / "killed", cwd=trained)
    assert second.returncode == 0, second.stderr
    assert f"({2 * (len(done) - 1)} of them scored before)" in second.stderr
    left, right = json.loads(whole.stdout), json.loads(second.stdout)
    assert {**left, "seconds": 0} == {**right, "seconds": 0}
    assert not partial.exists()
    wanted: dict[str, Any] = {"data": (tmp_path / "many",), "batch_size": 2, "out": tmp_path / "killed"}
    stored = next((tmp_path / "killed").glob("*/result.json"))
    before = stored.stat().st_mtime_ns
    assert evaluated(trained / "run", **wanted)["seconds"] == right["seconds"]  # made before: read, not repeated
    assert stored.stat().st_mtime_ns == before


def test_a_screen_of_eighty_columns(trained: Path) -> None:
    done = trm("evaluate", trained / "run", "--restarts", 2, cwd=trained)
    assert done.returncode == 0, done.stderr
    for part in ("exact", "full depth, 3 steps, 2 restarts", "average (EMA)", "by clues", "best q_halt", "q_halt:"):
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


MISTAKES: list[tuple[dict[str, Any], int, str]] = [
    ({"run": "nowhere"}, 4, "there is no run nowhere"),
    ({"run": "{run}/step_1.pt"}, 4, "there is no file"),
    ({"split": "dev"}, 2, "expected train or test"),
    ({"precision": "int4"}, 2, "expected one of auto, float32"),
    ({"device": "tpu"}, 2, "expected one of auto, cpu, cuda, mps"),
    ({"predictions": Path("a.csv")}, 2, "must end in .npz or .parquet"),
    ({"predictions": Path("no/a.npz")}, 2, "does not exist"),
    ({"data": (Path("{here}"),)}, 3, "is not a dataset"),
    ({"out": Path("{here}/plain")}, 1, "cannot write to"),
]


@pytest.mark.parametrize(("words", "code", "part"), MISTAKES)
def test_a_mistake_gets_a_message(trained: Path, tmp_path: Path, words: dict[str, Any], code: int, part: str) -> None:
    (tmp_path / "plain").write_text("")

    def placed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(placed(one) for one in value)
        return type(value)(str(value).format(run=trained / "run", here=tmp_path))

    wanted = {"run": "{run}", "device": "cpu", **words}
    with pytest.raises(TrmError) as failed:
        run_evaluation(EvaluationRequest(**{name: placed(value) for name, value in wanted.items()}))
    assert (failed.value.exit_code, part in failed.value.message) == (code, True), failed.value.message


def test_a_mistake_of_a_person_is_no_traceback(trained: Path) -> None:
    done = trm("evaluate", trained / "run", "--data", trained / "run", cwd=trained)
    assert (done.returncode, "Traceback" in done.stderr, done.stdout) == (3, False, "")


def test_data_that_the_model_would_misread_is_refused(trained: Path, tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data", identifiers=5)
    train(data, tmp_path / "run", "epochs=2", "arch.puzzle_emb_ndim=16", "arch.puzzle_emb_len=1")
    other = write_boards(tmp_path / "other", train=41, identifiers=5)
    with pytest.raises(DatasetError, match="identifiers stand for other puzzles"):
        evaluated(tmp_path / "run", data=(other,))
    assert evaluated(tmp_path / "run", data=(data,))["count"] == 16


@pytest.mark.slow
def test_a_model_that_reads_a_stream(canvases: Path, tmp_path: Path) -> None:
    train(canvases, tmp_path / "run", *HESC, "epochs=1", "global_batch_size=64", arch="multimodal_hesc_mini")
    made = evaluated(tmp_path / "run")
    by_kind = made["by_kind"]
    (reported,) = records(tmp_path / "run", "eval")
    rows = [reported[name] for name in ("count", "text_rows", "picture_rows")]
    assert [by_kind[kind]["rows"] for kind in ("grid", "text", "picture")] == rows
    # Kinds are not pooled: the rest is of the puzzles, as in training.
    assert (made["judged"], made["count"], made["exact"]) == ("grid", rows[0], by_kind["grid"]["exact"])
    assert made["token"]["value"] == pytest.approx(reported["token_accuracy"], rel=1e-5)
    assert by_kind["picture"]["exact"]["value"] == pytest.approx(reported["picture_accuracy"])
    assert by_kind["text"]["bits_per_byte"] == pytest.approx(reported["bits_per_byte"], rel=1e-5)
    assert made["by_difficulty"] == {} and sum(made["steps"]["distribution"]) == rows[0]
    page = Console(width=100, record=True, file=io.StringIO())
    page.print(evaluation_screen(made))
    screen = page.export_text()
    for part in ("grids", f"of {rows[0]:,} grids", "bits per byte", f"{rows[1]:,} texts", f"of {rows[2]:,} pictures"):
        assert part in screen
    said = [(one.label, one.value) for one in headlines(collect(tmp_path / "run"))]
    trained = [(one.label, one.value) for one in headlines(replace(collect(tmp_path / "run"), evaluation=None))]
    assert [label for label, _ in said][:3] == ["grids", "text", "pictures"]
    for value in ("bits per byte", "class"):
        assert sum(value in one for _, one in said) == sum(value in one for _, one in trained) == 1
    bits = by_kind["text"]["bits_per_byte"]
    assert 0 < bits < 20
    for policy in ("q", "bce", "full"):
        tried = evaluated(tmp_path / "run", policy=policy)
        assert tried["count"] == made["count"]
        assert tried["by_kind"]["text"]["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    assert "arc" not in made
    assert (
        sum(
            one["rows"] for one in evaluated(tmp_path / "run", restarts=2, early_halt=True, limit=3)["by_kind"].values()
        )
        == 3
    )
