"""What was saved with the weights is what every reader of a run uses; the files beside it are compared, never used."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import trm, trm_here
from tests.support.runs import TINY_RUN
from tests.support.selection import slow_but
from trm_cli.config.compose import load_run_config
from trm_cli.training.checkpoint.checkpoint_format import read_file_summary

#: What a fixture of this module trains is trained once: one worker does all of it.

EDITED = {
    "seed": "5",
    "optimizer": "adamw",
    "ema": "false",
    "global_batch_size": "10",
    "lr": "0.5",
    "epochs": "9",
    "weight_decay": "0.5",
    "arch.hidden_size": "32",
    "arch.H_cycles": "5",
    "arch.halt_max_steps": "5",
    "arch.num_heads": "1",
}
READERS = (
    ("resume", "run"),
    ("resume", "run", "--dry-run"),
    ("evaluate", "run"),
    ("solve", "run", "1... .... ..2. ...3"),
    ("solve", "run/latest.pt", "1... .... ..2. ...3"),
    ("report", "run"),
    ("inspect-schedule", "run"),
    ("inspect-schedule", "run", "--compare", "run"),
    ("inspect-model", "run"),
    ("checkpoints", "export", "run", "--out", "w.safetensors"),
    ("checkpoints", "export", "run", "--format", "original", "--out", "w.bin"),
    ("checkpoints", "prune", "run", "--dry-run"),
)


def words_of(run: str, *more: str) -> list[str]:
    return ["train", "sudoku-4x4", "data_paths=[data]", f"checkpoint_path={run}", *TINY_RUN, *more]


def edit(run: Path, **values: str) -> None:
    """Change keys of a run's config.yaml by hand."""
    path = run / "config.yaml"
    text = path.read_text()
    for key, value in values.items():
        text, changed = re.subn(rf"(?m)^( *){key}: .*$", rf"\g<1>{key}: {value}", text)
        assert changed == 1, key
    path.write_text(text)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run that was stopped after step 12 of 30."""
    folder = tmp_path_factory.mktemp("sealed")
    write_boards(folder / "data")
    done = trm(*words_of("run", "--stop-at-step", "12"), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def home(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(stopped, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


@pytest.mark.parametrize("key", slow_but(EDITED, "seed", "arch.hidden_size"))
def test_a_changed_setting_is_never_used_in_silence(key: str, home: Path) -> None:
    sealed = (home / "run/config.yaml").read_bytes()
    edit(home / "run", **{key.removeprefix("arch."): EDITED[key]})
    files = {path.name: path.read_bytes() for path in (home / "run").iterdir() if path.is_file()}
    typed = any(word.startswith(f"{key}=") for word in TINY_RUN)  # what is typed is used, whatever the file says
    for words in [("resume", "run"), *([] if typed else [tuple(words_of("run"))])]:
        done = trm_here(*words, cwd=home)
        assert done.returncode == 4, done.stderr
        assert re.search(rf"{re.escape(key)} +\S+ +{re.escape(EDITED[key])} ", done.stderr), done.stderr
    assert files == {path.name: path.read_bytes() for path in (home / "run").iterdir() if path.is_file()}
    (home / "run/config.yaml").write_bytes(sealed)
    assert trm_here("resume", "run", "--dry-run", cwd=home).returncode == 0


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_every_reader_refuses_another_run_and_says_how_to_go_on(words: tuple[str, ...], home: Path) -> None:
    edit(home / "run", hidden_size="32", epochs="9")
    done = trm_here(*words, cwd=home)
    assert done.returncode == 4, (done.stdout, done.stderr)
    assert "arch.hidden_size" in done.stderr
    assert done.stdout == ""
    hint = re.search(r"`(rm [^`]+)`", done.stderr)
    assert hint is not None
    Path(home, shlex.split(hint[1])[1]).unlink()
    again = trm_here("inspect-schedule", "run", "--json", cwd=home)
    assert again.returncode == 0
    assert "config.yaml is missing: what is sealed in step_00000012.pt is used" in again.stderr
    assert json.loads(again.stdout)["total_steps"] == 30


@pytest.mark.slow
def test_what_a_free_key_says_is_told_with_the_words_that_make_it_so(home: Path) -> None:
    edit(home / "run", log_interval="4")
    for words in READERS:
        if words[0] == "evaluate" or words == ("resume", "run"):
            continue  # these take longer
        done = trm_here(*words, cwd=home)
        assert done.returncode in (0, 5), done.stderr
        assert "says log_interval=4, the run has log_interval=auto, which is used" in done.stderr
    word = re.search(r"`trm (resume [^`]+)` would change it", done.stderr)
    assert word is not None
    assert trm(*shlex.split(word[1]), cwd=home).returncode == 0
    assert load_run_config(home / "run").config.log_interval == 4
    assert "log_interval" not in trm_here("inspect-model", "run", cwd=home).stderr


def test_a_new_plan_is_made_by_the_words_of_the_hint_and_sealed_at_once(home: Path) -> None:
    edit(home / "run", epochs="9")
    refused = trm_here("resume", "run", cwd=home)
    hint = re.search(r"`trm (resume [^`]+)` makes the change", refused.stderr)
    assert refused.returncode == 4
    assert hint is not None
    done = trm(*shlex.split(hint[1]), "--stop-at-step", "12", cwd=home)
    assert done.returncode == 0, done.stderr
    summary = read_file_summary(home / "run/step_00000012.pt")
    assert "epochs: 9\n" in summary["config"]
    after = trm_here("resume", "run", "--dry-run", cwd=home)
    assert after.returncode == 0, after.stderr
    assert "would continue at step 12 of 45, from run/step_00000012.pt" in after.stdout
    # The best checkpoint is older than the new plan, and none the worse for it.
    assert "epochs: 6\n" in read_file_summary((home / "run/best.pt").resolve())["config"]
    solved = trm_here("solve", "run", "1... .... ..2. ...3", cwd=home)
    assert (solved.returncode in (0, 5), solved.stderr) == (True, "Next: trm evaluate run\n")


def test_a_lost_or_damaged_copy_is_no_obstacle_and_is_written_anew(home: Path) -> None:
    sealed = (home / "run/config.yaml").read_text()
    for text in (None, "epochs: [", "\0\xff"):
        (home / "run/config.yaml").unlink(missing_ok=True)
        if text is not None:
            (home / "run/config.yaml").write_bytes(text.encode("latin-1"))
        word = "is missing" if text is None else "is damaged"
        for words, told in ((("resume", "run", "--dry-run"), word), (("checkpoints", "list", "run"), "")):
            done = trm_here(*words, cwd=home)
            assert done.returncode == 0, done.stderr
            assert not told or f"run/config.yaml {told}" in done.stderr
        if text in (None, "\0\xff"):
            done = trm_here("report", "run", cwd=home)
            assert (done.returncode, f"run/config.yaml {word}" in done.stderr) == (0, True), done.stderr
    assert "epochs: 6" in (home / "run/report.html").read_text()
    assert trm("resume", "run", cwd=home).returncode == 0
    assert (home / "run/config.yaml").read_text() == sealed


def test_a_checkpoint_alone_knows_its_settings(home: Path) -> None:
    file = shutil.copy((home / "run/latest.pt").resolve(), home / "alone.pt")
    shutil.rmtree(home / "run")
    done = trm_here("solve", str(file), "1... .... ..2. ...3", "--json", cwd=home)
    assert done.returncode in (0, 5), done.stderr


def test_a_changed_plan_is_not_the_plan_of_the_run(home: Path) -> None:
    edit(home / "run", epochs="9")
    shutil.copytree(home / "run", home / "other", symlinks=True)
    (home / "other/config.yaml").write_text((home / "run/config.yaml").read_text().replace("epochs: 9", "epochs: 6"))
    plan = trm_here("inspect-schedule", "sudoku-4x4", *words_of("run")[2:], "epochs=9", "--json", cwd=home).stdout
    (home / "other/plan.json").write_text(plan)
    done = trm_here("inspect-schedule", "other", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "plan.json is not the plan that is sealed in step_00000012.pt" in done.stderr
    assert json.loads(done.stdout)["total_steps"] == 30


def test_the_identity_of_a_run_is_not_changed_by_hand(home: Path) -> None:
    path = home / "run/run.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "threads": 7}))
    done = trm_here("resume", "run", cwd=home)
    assert done.returncode == 4
    assert "run.json was changed: its `threads` is not what is sealed in step_00000012.pt" in done.stderr


def test_a_dry_run_refuses_what_the_run_refuses_and_says_where_it_would_start(home: Path) -> None:
    write_boards(home / "larger", train=41)
    before = sorted(home.rglob("*"))
    cases = {
        ("data_paths=[larger]",): "another dataset: fingerprint",
        ("arch.hidden_size=32",): "arch.hidden_size",
        ("data_paths=[datasets/none]", "seed=5"): "seed",
        ("checkpoint_path=new", "load_checkpoint=gone.pt"): "gone.pt cannot be read",
        ("checkpoint_path=new", "init_from=gone.pt"): "gone.pt cannot be read",
    }
    for words, part in cases.items():
        for dry in ((), ("--dry-run",)):
            done = trm_here(*words_of("run", *words, *dry), cwd=home)
            assert (done.returncode, part in done.stderr) == (4, True), done.stderr
    assert "would start at step 0 of 30" in trm_here(*words_of("new", "--dry-run"), cwd=home).stdout
    fresh = trm_here(*words_of("run", "seed=5", "--fresh", "--dry-run"), cwd=home)
    assert (fresh.returncode, "would start at step 0 of 30" in fresh.stdout) == (0, True), fresh.stderr
    older = trm_here("resume", "run", "--from", "5", "--dry-run", cwd=home)
    assert "would continue at step 5 of 30, from run/step_00000005.pt" in older.stdout
    assert before == sorted(home.rglob("*"))


def test_a_warm_start_that_has_nothing_to_do_says_so_and_makes_nothing(home: Path) -> None:
    assert trm("resume", "run", cwd=home).returncode == 0
    for dry in ((), ("--dry-run",)):
        done = trm_here(*words_of("new", "load_checkpoint=run/latest.pt", *dry), cwd=home)
        assert done.returncode == 2
        assert "run/latest.pt has done all 30 steps of this plan: there is nothing to train" in done.stderr
        assert not (home / "new").exists()
    hint = re.search(r"(init_from=\S+) starts", done.stderr)
    assert hint is not None
    started = trm(*words_of("new", hint[1], "--stop-at-step", "2"), cwd=home)
    assert started.returncode == 0, started.stderr
    assert "only its weights are loaded, and the run starts at step 0" in started.stderr
    again = trm("resume", "new", "init_from=run/best.pt", cwd=home)
    assert "init_from=run/best.pt is not used: new has checkpoints of its own" in again.stderr
    both = trm_here(*words_of("third", hint[1], "load_checkpoint=run/latest.pt"), cwd=home)
    assert (both.returncode, "keep one" in both.stderr) == (2, True)


def test_without_a_test_split_no_evaluation_is_planned_or_made(home: Path) -> None:
    shutil.rmtree(home / "data/test")
    planned = trm_here("inspect-schedule", *words_of("none")[1:], "--json", cwd=home)
    document = json.loads(planned.stdout)
    assert document["evaluations"] == {"interval_epochs": 2, "count": 0, "first": None, "steps": []}
    assert "no_test_split" in [warning["code"] for warning in document["warnings"]]
    done = trm(*words_of("none"), cwd=home)
    assert done.returncode == 0, done.stderr
    assert "evaluations  none: the dataset has no test split" in done.stderr
    assert json.loads((home / "none/plan.json").read_text())["fingerprint"] == document["fingerprint"]
    assert "none is complete: 30 steps" in trm_here(*words_of("none"), cwd=home).stdout
    seen = trm_here("inspect-schedule", "none", "--compare", "sudoku-4x4", cwd=home)
    assert seen.returncode == 0, seen.stderr
