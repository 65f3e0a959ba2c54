from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_import_policy import loaded_after
from trm_cli.app import main
from trm_cli.errors import ExitCode
from trm_cli.schedule.plan import TrainingPlan

HEAVY = ("torch", "numpy", "datasets", "wandb", "matplotlib")
Trm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Trm:
    """Run `trm inspect-schedule ...` in this process: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trm", "inspect-schedule", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose builder plans 1,000 groups, with a dataset directory below the temporary one."""
    builder = tmp_path / "builder.py"
    builder.write_text(
        "import json, sys\n"
        "assert sys.argv[-1] == '--plan', sys.argv\n"
        "if '--fail' in sys.argv: sys.exit('no such source: moon')\n"
        "print('hello' if '--chatter' in sys.argv else "
        "json.dumps({'train': {'total_groups': 1000, 'mean_puzzle_examples': 1.5, 'total_puzzles': 1000}}))\n"
    )
    return _write_model(tmp_path, builder, "")


def _write_model(folder: Path, builder: Path, more: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(
        f"title: Mine\narchitecture: trm_sudoku\ndataset_builder: {builder}\n"
        f"dataset_args:\n  output_dir: {folder / 'data'}\n{more}"
        "overrides:\n  global_batch_size: 100\n  epochs: 100\n"
    )
    return path


def write_dataset(folder: Path, groups: int = 2000) -> None:
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "dataset.json").write_text(
        json.dumps(
            {
                "pad_id": 0,
                "ignore_label_id": 0,
                "blank_identifier_id": 0,
                "vocab_size": 11,
                "seq_len": 81,
                "num_puzzle_identifiers": 1,
                "total_groups": groups,
                "mean_puzzle_examples": 1.0,
                "total_puzzles": groups,
                "sets": ["all"],
            }
        )
    )


def test_before_the_dataset_is_built_its_builder_says_the_counts(trm: Trm, model: Path) -> None:
    code, out, _ = trm(str(model), "--json")
    document = json.loads(out)
    assert code == 0
    assert document["total_steps"] == 15 * 100
    assert "not built yet" in document["dataset"]["source"]


def test_after_it_is_built_the_dataset_says_them(trm: Trm, model: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    document = json.loads(trm(str(model), "--json")[1])
    assert document["total_steps"] == 20 * 100
    assert document["dataset"]["source"].endswith("data/train/dataset.json")


def test_a_damaged_dataset_is_a_dataset_error(trm: Trm, model: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    (tmp_path / "data" / "train" / "dataset.json").write_text("{}")
    code, out, err = trm(str(model))
    assert (code, out) == (ExitCode.DATASET, "")
    assert "dataset.json" in err


@pytest.mark.parametrize(
    ("flag", "said"), [("fail", "no such source: moon"), ("chatter", "did not print one JSON object")]
)
def test_a_builder_that_cannot_plan_leads_to_a_hint(
    trm: Trm, model: Path, tmp_path: Path, flag: str, said: str
) -> None:
    path = _write_model(tmp_path, tmp_path / "builder.py", f"  {flag}: true\n")
    code, out, err = trm(str(path))
    assert (code, out) == (ExitCode.DATASET, "")
    assert said in err
    assert "--samples-per-epoch N" in err
    assert "trm build-dataset " in err


@pytest.mark.parametrize(
    ("samples", "epochs", "ends"),
    [("3200", "10", [100, 500, 1_000]), ("32_000", "100", [10_000, 50_000, 100_000])],
)
def test_worked_examples_without_a_dataset(trm: Trm, samples: str, epochs: str, ends: list[int]) -> None:
    words = ("vision-unified", f"epochs={epochs}", "lr_warmup_ratio=0.1", "--samples-per-epoch", samples, "--json")
    plan = TrainingPlan.from_json(json.loads(trm(*words)[1]))
    last = {quantity.name: quantity.segments[-1].end_step for quantity in plan.quantities}
    assert [last[name] for name in ("dqn_warmup", "expansion_penalty", "q_temperature")] == ends


def test_table_says_how_each_boundary_was_written_and_where(trm: Trm, model: Path) -> None:
    _, out, _ = trm(str(model), "lr_warmup_ratio=0.29", "--samples-per-epoch", "1000", "epochs=10", "--arch", "trm")
    flat = " ".join(out.split())
    assert "architecture trm" in flat
    assert "lr linear 0 - 29 0 -> 1e-4" in flat
    assert "lr_warmup_ratio 0.29 command line" in flat
    assert "lr_min_ratio 1.0 configs/cfg_pretrain.yaml:" in flat
    assert "evaluations 1, after the last step (100)" in flat


def test_a_run_shows_the_plan_it_was_started_with(trm: Trm, model: Path, tmp_path: Path) -> None:
    planned = trm(str(model), "--json")[1]
    run = tmp_path / "run"
    run.mkdir()
    (run / "plan.json").write_text(planned)
    again = json.loads(trm(str(run), "--json")[1])
    assert again["fingerprint"] == json.loads(planned)["fingerprint"]
    (run / "step_1.pt").touch()
    assert trm(str(run / "step_1.pt"))[0] == 0
    code, out, _ = trm(str(model), "epochs=50", "--compare", str(run))
    assert code == 0
    assert "total steps" in out
    assert "1,500" in out
    assert "750" in out
    assert "differences, marked !" in out
    both = json.loads(trm(str(model), "--compare", str(run), "--json")[1])
    assert both["differences"] == 0
    (run / "plan.json").write_text(planned.replace("1500", "1400"))
    code, _, err = trm(str(run))
    assert code == ExitCode.USAGE
    assert "plan.json cannot be used" in err


def test_json_holds_every_value_exactly(trm: Trm, model: Path) -> None:
    document = json.loads(trm(str(model), "--json", "--at", "0,1,50%", "--at", "1500")[1])
    plan = TrainingPlan.from_json(document)
    assert [entry["step"] for entry in document["at"]] == [0, 1, 750, 1500]
    assert all(entry["values"] == plan.record_at(entry["step"]) for entry in document["at"])


def test_csv_holds_every_step(trm: Trm, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.csv"
    assert trm(str(model), "--out", str(out))[0] == 0
    plan = TrainingPlan.from_json(json.loads(trm(str(model), "--json")[1]))
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [int(row["step"]) for row in rows] == list(range(1, 1501))
    assert all(float(row["lr"]) == plan.record_at(int(row["step"]))["lr"] for row in rows)
    assert [int(row["step"]) for row in rows if row["evaluate"] == "1"] == list(plan.eval_steps)


def test_a_long_run_is_sampled_with_its_boundaries(trm: Trm, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.csv"
    trm(str(model), "epochs=1000000", "--out", str(out))
    steps = [int(row["step"]) for row in csv.DictReader(io.StringIO(out.read_text()))]
    assert len(steps) < 20_100
    assert {1, 600_000, 15_000_000} <= set(steps)


@pytest.mark.parametrize(("kind", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("json", b"{")])
def test_files(trm: Trm, model: Path, tmp_path: Path, kind: str, head: bytes) -> None:
    out = tmp_path / f"plan.{kind}"
    code, _, err = trm(str(model), "--out", str(out))
    assert code == 0
    assert out.read_bytes().startswith(head)
    assert f"plan.{kind}" in err.replace("\n", "")
    first = out.read_bytes()
    trm(str(model), "--out", str(out))
    assert out.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["builder.py", "mine.yaml", f"plan.{kind}"])


def test_a_picture_without_matplotlib_names_the_extra(
    trm: Trm, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = trm(str(model), "--out", str(tmp_path / "plan.png"))
    assert code == ExitCode.USAGE
    assert "trm[plot]" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "101%"], "101% is not a step of this run"),
        (["--at", "1.5"], "1.5 is not a step"),
        (["--at", "-1"], "-1 is not a step"),
        (["--at", "soon"], "'soon' is not a finite number"),
        (["--at", "5", "--compare", "sudoku-4x4"], "about one plan"),
        (["--json", "--plot"], "choose one of them"),
        (["--out", "plan.pdf"], "not 'plan.pdf'"),
        (["--out", "no/such/folder/plan.png"], "does not exist"),
        (["--samples-per-epoch", "0"], "a number above 0"),
        (["--samples-per-epoch", "1e999999999"], "a number above 0"),
        (["--samples-per-epoch", "many"], "a number above 0"),
        (["sudoku-4x4"], "only one MODEL is allowed"),
        (["epochz=3"], "unknown key `epochz`"),
    ],
)
def test_mistakes_are_one_clear_message(trm: Trm, model: Path, words: list[str], said: str) -> None:
    code, out, err = trm(str(model), *words)
    assert (code, out) == (ExitCode.USAGE, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_unknown_places_are_named(trm: Trm, tmp_path: Path) -> None:
    assert "holds no run" in trm(str(tmp_path))[2]
    assert "no model is called" in trm("sudoku-7x7")[2]


def test_nothing_heavy_is_imported(model: Path) -> None:
    words = ["inspect-schedule", str(model), "--plot", "--at", "50%", "--compare", "sudoku-4x4"]
    lines = [words[:5], words[:3], [*words[:2], "--json"], ["inspect-schedule", "--help"], ["--help"]]
    assert loaded_after(lines, HEAVY) == [[]] * len(lines)


def test_a_q_network_that_is_left_out_has_no_schedule(trm: Trm) -> None:
    def names(*words: str) -> list[str]:
        document = json.loads(trm("unified-mini", "--samples-per-epoch", "3200", "--json", *words)[1])
        return [quantity["name"] for quantity in document["quantities"]]

    without, whole = names("arch.enable_dqn=false"), names("arch.enable_dqn=true")
    assert without == ["lr", "puzzle_emb_lr", "epsilon"]
    assert sorted(set(whole) - set(without)) == ["dqn_warmup", "expansion_penalty", "q_temperature"]
    assert names("arch.enable_dqn=false", "arch.puzzle_emb_ndim=0") == ["lr", "epsilon"]
