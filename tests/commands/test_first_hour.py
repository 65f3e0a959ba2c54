"""The mistakes of a first hour: one message each, true, with a next step that works when it is pasted.

Each line is what somebody types who comes from another tool, has not read the documentation, or slips; `then` is the
command that the message leads to, which is run as well.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import trm_here
from trm_cli.config.registry import SHIPPED

MODEL = (SHIPPED / "models/sudoku-4x4.yaml").read_text()
FEW = "dataset_args.train=4 dataset_args.test=2 dataset_args.num_aug=0"


@dataclass(frozen=True)
class Mistake:
    """A command line, its exit code, words of the one message, words of the next step, and that step as typed."""

    typed: str
    code: int
    says: str
    leads: str
    then: str
    ends: int = 0


MISTAKES = [
    # Names
    Mistake("sovle checkpoints/mine 1", 2, "No such command 'sovle'", "Did you mean 'solve'?", "solve --help"),
    Mistake("train sudoku4x4", 2, "no model is called", "did you mean `sudoku-4x4`?", "train sudoku-4x4 --dry-run"),
    Mistake("train sudoku-4x4 epochs = 10", 2, "only one MODEL", "without spaces: `epochs=10`",
            "configs show sudoku-4x4 epochs=10"),
    Mistake("train min.yaml", 2, "the model file min.yaml does not exist", "did you mean `mine.yaml`?",
            "train mine.yaml --dry-run"),
    Mistake("configs show sudoku-4x4 arch=trm_sudok", 2, "no architecture is called", "did you mean `trm_sudoku`?",
            "configs show sudoku-4x4 arch=trm_sudoku"),
    Mistake("train sudoku-4x4 sudoku-6x6", 2, "only one MODEL is allowed", "such as epochs=10",
            "train sudoku-4x4 epochs=10 --dry-run"),
    Mistake("eval checkpoints/mine", 2, "No such command 'eval'.", "`trm evaluate checkpoints/mine`",
            "evaluate --help"),
    Mistake("predict checkpoints/mine 1", 2, "No such command 'predict'.", "`trm solve checkpoints/mine 1`",
            "solve checkpoints/mine 1234341221434321"),
    Mistake("fit sudoku-4x4", 2, "No such command 'fit'.", "`trm train sudoku-4x4`", "train sudoku-4x4 --dry-run"),
    Mistake("export checkpoints/mine", 2, "No such command 'export'. ╰", "`trm checkpoints export checkpoints/mine`",
            "checkpoints export --help"),
    Mistake("checkpoints delete checkpoints/mine", 2, "No such command 'delete'.",
            "`trm checkpoints prune checkpoints/mine`", "checkpoints prune checkpoints/mine --dry-run"),
    Mistake("help train", 2, "No such command 'help'.", "`trm train --help`", "train --help"),
    Mistake("models", 2, "No such command 'models'.", "`trm configs list`", "configs list"),
    Mistake("inspect-schedule sudoku-9x9", 2, "no model is called", "sudoku-hard-small, sudoku-small",
            "inspect-schedule sudoku-small"),
    Mistake("train quickstart", 2, "no model is called", "`trm quickstart` is a command of its own",
            "quickstart --help"),
    Mistake("configs keys learning_rate", 2, "no key has the word 'learning_rate'", "did you mean `lr`?",
            "configs keys lr"),
    Mistake("train train.py", 2, "train.py is not a model file", "end in .yaml", "train mine.yaml --dry-run"),
    Mistake("train checkpoints/mine", 2, "is a directory, not a YAML file", "`trm resume checkpoints/mine`",
            "resume checkpoints/mine --dry-run"),
    # Habits of other programs
    Mistake("train --config mine.yaml", 2, "No such option: --config", "`trm train mine.yaml`",
            "configs show mine.yaml"),
    Mistake("--lr 1e-4 train sudoku-4x4", 2, "No such option: --lr ╰", "`trm train lr=1e-4 sudoku-4x4`",
            "configs show sudoku-4x4 lr=1e-4"),
    Mistake("train sudoku-4x4 --batch_size=32", 2, "No such option: --batch_size",
            "`trm train sudoku-4x4 global_batch_size=32`", "configs show sudoku-4x4 global_batch_size=32"),
    Mistake("train sudoku-4x4 --save_steps 500", 2, "No such option: --save_steps",
            "`checkpoint_interval` is counted in epochs", "configs show sudoku-4x4 checkpoint_interval=5"),
    Mistake("train sudoku-4x4 gradient_accumulation_steps=4", 2, "unknown key `gradient_accumulation_steps`",
            "`micro_batch_size` is the number of rows", "configs show sudoku-4x4 micro_batch_size=8"),
    Mistake("train sudoku-4x4 learning_rate=1e-3", 2, "unknown key `learning_rate`", "did you mean `lr`?",
            "configs show sudoku-4x4 lr=1e-3"),
    Mistake("train sudoku-4x4 n_embd=128", 2, "unknown key `n_embd`", "did you mean `arch.hidden_size`?",
            "configs show sudoku-4x4 arch.hidden_size=128"),
    Mistake("train sudoku-4x4 --max_steps 100", 2, "No such option: --max_steps",
            "`trm train sudoku-4x4 --stop-at-step 100`", "train sudoku-4x4 --stop-at-step 100 --dry-run"),
    Mistake("train sudoku-4x4 max_steps=100", 2, "unknown key `max_steps`", "--stop-at-step N ends it earlier",
            "train sudoku-4x4 --stop-at-step 100 --dry-run"),
    Mistake("train sudoku-4x4 --num_workers 4", 2, "No such option: --num_workers", "`trm train sudoku-4x4`",
            "configs show sudoku-4x4"),
    Mistake("train sudoku-4x4 --do_eval False --pin_memory 0 --epochs 3", 2, "No such option: --do_eval",
            "`trm train sudoku-4x4 epochs=3`", "configs show sudoku-4x4 epochs=3"),
    Mistake("train sudoku-4x4 --accelerator gpu --devices 1", 2, "No such option: --accelerator",
            "`trm train sudoku-4x4 device=cuda --nproc-per-node 1`", "configs show sudoku-4x4 device=cuda"),
    Mistake("train sudoku-4x4 --fp16", 2, "No such option: --fp16", "`trm train sudoku-4x4 precision=float16`",
            "configs show sudoku-4x4 precision=float16"),
    Mistake("train sudoku-4x4 --no-cuda --output_dir out", 2, "No such option: --no-cuda",
            "`trm train sudoku-4x4 device=cpu checkpoint_path=out`",
            "configs show sudoku-4x4 device=cpu checkpoint_path=out"),
    Mistake("train sudoku-4x4 --resume_from_checkpoint checkpoints/mine", 2, "No such option",
            "`trm resume checkpoints/mine`", "resume checkpoints/mine --dry-run"),
    Mistake("train sudoku-4x4 -m lr=1e-3,1e-4", 2, "No such option: -m", "`trm sweep FILE.yaml`", "sweep --help"),
    Mistake("evaluate checkpoints/mine --gpu", 2, "No such option: --gpu ╰",
            "`trm evaluate checkpoints/mine --device cuda`", "evaluate checkpoints/mine --limit 2"),
    Mistake("evaluate checkpoints/mine --gpu True", 2, "No such option: --gpu ╰",
            "`trm evaluate checkpoints/mine --device cuda`", "evaluate checkpoints/mine --limit 2"),
    Mistake("evaluate checkpoints/mine --gpu False", 2, "No such option: --gpu ╰",
            "`trm evaluate checkpoints/mine --device cpu`", "evaluate checkpoints/mine --device cpu --limit 2"),
    Mistake("train sudoku-4x4 --gpu False --dry-run", 2, "No such option: --gpu ╰",
            "`trm train sudoku-4x4 device=cpu --dry-run`", "train sudoku-4x4 device=cpu --dry-run"),
    Mistake("train sudoku-4x4 --bf16 True --fp16 False --dry-run", 2, "No such option: --bf16 ╰",
            "`trm train sudoku-4x4 precision=bfloat16 --dry-run`", "train sudoku-4x4 precision=bfloat16 --dry-run"),
    Mistake("train sudoku-4x4 --fp16 False --bf16 False --dry-run", 2, "No such option: --fp16 ╰",
            "`trm train sudoku-4x4 precision=float32 --dry-run`", "train sudoku-4x4 precision=float32 --dry-run"),
    Mistake("train sudoku-4x4 --cpu false --gpu --dry-run", 2, "No such option: --cpu ╰",
            "`trm train sudoku-4x4 device=cuda --dry-run`", "train sudoku-4x4 --device cpu --dry-run"),
    Mistake("train sudoku-4x4 gpu=false", 2, "unknown key `gpu`", "write device=cpu",
            "train sudoku-4x4 device=cpu --dry-run"),
    Mistake("evaluate --run checkpoints/mine --batch_size=2", 2, "No such option: --run ╰",
            "`trm evaluate checkpoints/mine --batch-size 2`", "evaluate checkpoints/mine --batch-size 2 --limit 2"),
    Mistake("evaluate checkpoints/mine steps=3", 2, "unexpected extra argument", "checkpoints/mine --steps 3`",
            "evaluate checkpoints/mine --steps 3 --limit 2"),
    Mistake("solve checkpoints/mine 1234 3412 2143 4321", 2, "unexpected extra argument",
            "`trm solve checkpoints/mine '1234 3412 2143 4321'`", "solve checkpoints/mine '1234 3412 2143 4321'"),
    Mistake("report checkpoints/mine report.html", 2, "unexpected extra argument", "--out report.html`",
            "report checkpoints/mine --out report.html"),
    # Slips of a hand, of a shell, of another system
    Mistake("train sudoku-4x4 epochs==10", 2, "`epochs` must be a whole number", "write epochs=10",
            "configs show sudoku-4x4 epochs=10"),
    Mistake("train sudoku-4x4 epochs:10", 2, "only one MODEL is allowed", "`epochs=10`",
            "configs show sudoku-4x4 epochs=10"),
    Mistake("train sudoku-4x4 lr=0,001", 2, "`lr` must be a number", "write 0.001", "configs show sudoku-4x4 lr=0.001"),
    Mistake("train 'sudoku-4x4 epochs=10'", 2, "is not a key", "without quotes around all: sudoku-4x4 epochs=10",
            "configs show sudoku-4x4 epochs=10"),
    Mistake("evaluate '~/mine'", 4, "there is no run ~/mine", "the shell has not expanded it", "evaluate --help"),
    Mistake("train sudoku-4x4 'checkpoint_path=$HOME/x'", 2, "the shell has not expanded it", "/x",
            "configs show sudoku-4x4 checkpoint_path=x"),
    Mistake(r"evaluate 'checkpoints\mine'", 4, "there is no run", "separated by /: checkpoints/mine",
            "evaluate checkpoints/mine --limit 2"),
    Mistake(r"evaluate 'C:\runs\mine'", 4, "there is no run", "in WSL it is /mnt/c/runs/mine", "evaluate --help"),
    Mistake("inspect-dataset checkpoints/mine", 3, "is not a dataset", "it is a run", "inspect-dataset data"),
    Mistake("inspect-dataset .", 3, ". is not a dataset", "datasets there: data", "inspect-dataset data"),
    # Settings
    Mistake("train sudoku-4x4 --epochs 10", 2, "No such option: --epochs", "`trm train sudoku-4x4 epochs=10`",
            "train sudoku-4x4 epochs=10 --dry-run"),
    Mistake("--log-level info train sudoku-4x4 --epochs 10", 2, "No such option: --epochs",
            "`trm --log-level info train sudoku-4x4 epochs=10`", "--log-level info configs show sudoku-4x4 epochs=10"),
    Mistake("train sudoku-4x4 --log_level info", 2, "No such option: --log_level", "stands before the command: "
            "`trm --log-level info train sudoku-4x4`", "--log-level info configs show sudoku-4x4"),
    Mistake("--verbose evaluate checkpoints/mine", 2, "No such option: --verbose",
            "`trm --log-level info evaluate checkpoints/mine`", "--log-level info evaluate checkpoints/mine --limit 2"),
    Mistake("--log-levle info evaluate checkpoints/mine", 2, "No such option: --log-levle",
            "(Possible options: --log-level)", "--log-level info evaluate checkpoints/mine --limit 2"),
    Mistake("train --model sudoku-4x4 --lr 1e-3", 2, "No such option: --model", "`trm train sudoku-4x4 lr=1e-3`",
            "train sudoku-4x4 lr=1e-3 --dry-run"),
    Mistake("train sudoku-4x4 --resume", 2, "No such option: --resume", "`trm train sudoku-4x4`",
            "train sudoku-4x4 --dry-run"),
    Mistake("train sudoku-4x4 epoch=10", 2, "unknown key `epoch`", "did you mean `epochs`?",
            "train sudoku-4x4 epochs=10 --dry-run"),
    Mistake("train sudoku-4x4 hidden_size=64", 2, "unknown key `hidden_size`", "did you mean `arch.hidden_size`?",
            "train sudoku-4x4 arch.hidden_size=64 --dry-run"),
    Mistake("train sudoku-4x4 device=gpu", 2, "`device` must be one of auto, cpu, cuda, mps", "did you mean `cuda`?",
            "configs show sudoku-4x4 device=cuda"),
    Mistake("train sudoku-4x4 --device mps", 2, "Apple's GPUs are in Macs alone", "device=cpu",
            "train sudoku-4x4 device=cpu --dry-run"),
    Mistake("train sudoku-4x4 precision=fp16", 2, "`precision` must be one of", "did you mean `float16`?",
            "configs show sudoku-4x4 precision=float16"),
    Mistake("train sudoku-4x4 ema=yes", 2, "`ema` must be true or false", "write true",
            "configs show sudoku-4x4 ema=true"),
    Mistake("train sudoku-4x4 wandb=off", 2, "`wandb` must be one of", "did you mean `disabled`?",
            "train sudoku-4x4 wandb=disabled --dry-run"),
    Mistake("train sudoku-4x4 global_batch_size=0", 2, "from 1 to 1,048,576; found 0", "global_batch_size=0",
            "train sudoku-4x4 global_batch_size=1 --dry-run"),
    Mistake("train sudoku-4x4 epochs=1_000", 2, "`epochs` must be a whole number", "1000",
            "configs show sudoku-4x4 epochs=1000"),
    # Files of one's own
    Mistake("train typo.yaml", 2, "unknown key `epoch`", "did you mean `epochs`?", "configs validate mine.yaml"),
    Mistake("train tabs.yaml", 2, "a tab in the indentation", "YAML indents with spaces", "configs validate mine.yaml"),
    Mistake("build-dataset table.yaml", 3, "train.csv has no column question, answer: it has given, filled",
            "'dataset_args.columns=[question=NAME,answer=NAME]'",
            "build-dataset table.yaml 'dataset_args.columns=[question=given,answer=filled]'"),
    # Datasets
    Mistake("inspect-dataset datasets/sudoku-6x6", 3, "datasets/sudoku-6x6 does not exist",
            "`trm build-dataset sudoku-6x6`", f"build-dataset sudoku-6x6 {FEW}"),
    Mistake("build-dataset sudoku-4x4 --train 4", 2, "No such option: --train",
            "`trm build-dataset sudoku-4x4 dataset_args.train=4`", f"build-dataset sudoku-4x4 {FEW}"),
    Mistake("build-dataset sudoku-4x4 --output-dir few", 2, "No such option: --output-dir",
            "`trm build-dataset sudoku-4x4 dataset_args.output_dir=few`",
            f"build-dataset sudoku-4x4 {FEW} dataset_args.output_dir=few"),
    Mistake("train sudoku-4x4 lr_warmup_steps=10 lr_warmup_ratio=0.1", 2, "(at lr_warmup_ratio=0.1)",
            "set the other to null", "configs show sudoku-4x4 lr_warmup_steps=10 lr_warmup_ratio=null"),
    Mistake("build-dataset sudoku-4x4 dataset_args.trian=4", 2, "the builder knows no --trian",
            "did you mean `dataset_args.train`?", f"build-dataset sudoku-4x4 {FEW}"),
    # Runs
    Mistake("evaluate sudoku-4x4", 4, "there is no run sudoku-4x4", "`trm train sudoku-4x4` trains it",
            "train sudoku-4x4 --dry-run"),
    Mistake("evaluate mien", 4, "there is no run mien hint: runs here: checkpoints/", "checkpoints/mine",
            "evaluate checkpoints/mine --limit 2"),
    Mistake("resume checkpoints/mine/latest.pt", 2, "is a checkpoint of checkpoints/mine",
            "trm resume checkpoints/mine --from 200", "resume checkpoints/mine --from 200 --dry-run"),
    Mistake("resume checkpoints/mine --extend-epochs 5", 2, "the run has 40 epochs, and the option counts all of them",
            "5 more: trm resume checkpoints/mine --extend-epochs 45",
            "resume checkpoints/mine --extend-epochs 45 --dry-run"),
    Mistake("resume checkpoints/mine seed=1", 4, "used other settings", "checkpoint_path=checkpoints/NAME",
            "train sudoku-4x4 data_paths=[data] seed=1 checkpoint_path=checkpoints/other --dry-run"),
    Mistake("report checkpoints/mine --out report.pdf", 2, "must end in .html or .png", "--out report.html",
            "report checkpoints/mine --out report.html"),
    Mistake("compare checkpoints/mine checkpoints/mine", 2, "named twice", "trm compare RUN OTHER", "compare --help"),
    # Questions that a run cannot answer
    Mistake("solve checkpoints/mine 123", 2, "this puzzle has 3 cells", "write 16 characters",
            "solve checkpoints/mine 1234341221434321"),
    Mistake("solve '1234 3412 2143 4321' checkpoints/mine", 2, "the run stands before the puzzle",
            "trm solve checkpoints/mine '1234 3412 2143 4321'", "solve checkpoints/mine '1234 3412 2143 4321'"),
    Mistake("solve 2026-11-30_19-24-14 puzzle.txt", 2, "there is no file puzzle.txt", "give the puzzle itself",
            "solve 2026-11-30_19-24-14 1234341221434321"),
    Mistake("solve checkpoints/mine boards.csv", 2, "this is a table of puzzles", "--all-solutions-of FILE",
            "solve checkpoints/mine --all-solutions-of boards.csv"),
    Mistake("solve checkpoints/mine task.json", 2, "this is JSON", "a board is written as text",
            "solve checkpoints/mine 1234341221434321"),
    Mistake("solve checkpoints/mine puzzle.txt", 2, "there is no file puzzle.txt", "give the puzzle itself",
            "solve checkpoints/mine 1234341221434321"),
    Mistake("solve checkpoints/mine 11..............", 2, "the clues contradict each other", "row 1 column 2",
            "solve checkpoints/mine 1234341221434321"),
    Mistake("generate checkpoints/mine --prompt Once", 2, "trained on sudoku puzzles, not on text", "`trm solve`",
            "solve checkpoints/mine 1234341221434321"),
    Mistake("classify checkpoints/mine cat.png", 2, "not on pictures", "vision-unified",
            "configs show vision-unified"),
    Mistake("show-capsules checkpoints/mine 0 --out a.png", 2, "trm_quickstart, has no capsules", "`trm solve`",
            "solve checkpoints/mine 1234341221434321"),
]  # fmt: skip


def test_they_are_thirty_at_least() -> None:
    assert len({mistake.typed for mistake in MISTAKES}) == len(MISTAKES) >= 30


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newcomer's folder: a run, its data, model files with slips in them, a table."""
    folder = tmp_path_factory.mktemp("first hour")
    shutil.copytree(trained / "run", folder / "checkpoints/mine", symlinks=True)
    (folder / "checkpoints/2026-11-30_19-24-14").symlink_to("mine")
    shutil.copytree(trained / "data", folder / "data")
    for name in ("cat.png", "train.py"):
        (folder / name).touch()
    (folder / "boards.csv").write_text("puzzle\n12343412214343.1\n")
    (folder / "task.json").write_text('{"train": [], "test": []}')
    (folder / "mine.yaml").write_text(MODEL)
    (folder / "typo.yaml").write_text(MODEL.replace("  epochs:", "  epoch:"))
    (folder / "tabs.yaml").write_text(MODEL.replace("  epochs:", "\tepochs:"))
    source = MODEL.replace("train: 1500", "source: tables").replace("test: 500", "num_aug: 0")
    kept = [line for line in source.splitlines() if not line.strip().startswith(("clues:", "num_aug: 1000", "seed:"))]
    (folder / "table.yaml").write_text("\n".join(kept).replace("datasets/sudoku-4x4", "datasets/table") + "\n")
    (folder / "tables").mkdir()
    for split, board in (("train", "1.34341221434321,1234341221434321"), ("test", "123434..21434321,1234341221434321")):
        (folder / f"tables/{split}.csv").write_text(f"given,filled\n{board}\n")
    return folder


@cache
def end_of(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Of a next step; several mistakes lead to the same."""
    return trm_here(*shlex.split(line), cwd=place)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.typed)
def test_a_mistake_leads_on(mistake: Mistake, place: Path) -> None:
    done = trm_here(*shlex.split(mistake.typed), cwd=place)
    said = " ".join(done.stderr.replace("│", " ").split())
    assert (done.returncode, mistake.says in said, mistake.leads in said) == (mistake.code, True, True), said
    assert "Traceback" not in done.stderr and said.count("error:") + said.count("Error ─") == 1
    then = end_of(mistake.then, place)
    assert then.returncode == mistake.ends, f"trm {mistake.then}\n{then.stdout}{then.stderr}"
