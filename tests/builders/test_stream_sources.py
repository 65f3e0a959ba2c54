"""Sources: what each name means, what stands in for it, and one clear error for everything that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_builders.lib.arc.tasks import read_source
from dataset_builders.lib.stream.sources import Found, arc_source, text_source
from dataset_builders.lib.text.documents import TextDocument
from dataset_builders.lib.text.plain_text import to_ascii
from tests.support.streams import ROOT, contents, environment
from trm_cli.data.stream.dataset import open_stream
from trm_cli.data.stream.records import OVERLAP, WINDOW, window_starts

Builder = Callable[..., subprocess.CompletedProcess[str]]
FEW = ("--limit", "60", "--test-share", "0.2")


@pytest.mark.parametrize("length", [1, 31, WINDOW, WINDOW + 1, 2 * WINDOW, 5000])
def test_windows_hold_the_whole_text(length: int) -> None:
    starts = window_starts(length)
    assert starts[0] == 0 and starts[-1] < length <= starts[-1] + WINDOW
    assert all(later - earlier == WINDOW - OVERLAP for earlier, later in pairwise(starts))


def test_text_becomes_ascii_and_what_is_lost_is_counted() -> None:
    assert to_ascii("\u201cIt\u2019s caf\u00e9\u201d \u2014 ok\u2026\r\n") == (b'"It\'s cafe" - ok...', 0)
    assert to_ascii("a\u4f60\u597db\x00") == (b"ab", 3)
    assert to_ascii("stra\u00dfe \u2603") == (b"strasse", 1)


def test_the_text_of_a_source_is_not_held_in_memory(tmp_path: Path) -> None:
    documents = (TextDocument(str(number), f"{number} " + "word after word " * 120) for number in range(10_000))
    tracemalloc.start()
    source = text_source(Found("t", "local", "here", "none"), documents, 0, 0.1, tmp_path / "source_0.text")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert source.count("train") + source.count("test") > 20_000 and source.documents.size > 19e6
    assert peak < 4 << 20, f"{peak >> 20} MiB for {source.documents.size >> 20} MiB of text"
    assert source.record("train", 0).payload.startswith(b"0 word after word")


def test_arc_pairs_are_the_published_numbers() -> None:
    source = arc_source("kaggle/combined", read_source("kaggle/combined"))
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
        assert built["total_groups"] == plan[split]["total_groups"] == open_stream(tmp_path / "d", split, 224).eval_rows
        assert built["num_puzzle_identifiers"] == plan["num_puzzle_identifiers"] == 1 + 60 * 32


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
    assert any("SAMPLE" in note for note in open_stream(root, "train", 84).notes)
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
    assert "left out: 40 characters" in done.stderr
    assert "cafe" in open_stream(root, "train", 224).store.shard(0)[0].payload.decode()
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


def test_pictures_with_labels(build: Builder, tmp_path: Path) -> None:
    make_pictures(tmp_path / "p")
    root = tmp_path / "d"
    done = build("--output-dir", root, "--sources", f"images:{tmp_path / 'p'}", "stories", *FEW, "--picture-side", "16")
    assert done.returncode == 0, done.stderr
    data = open_stream(root, "train", 84)
    assert data.metadata.seq_len == 128, "no grid needs a place for every cell"
    batch = next(data.eval_batches(data.eval_rows))
    pictures = batch["canvas_kind"] == 2
    assert batch["picture"].shape[1:] == (3, 16, 16) and pictures.any() and (~pictures).any()
    assert batch["picture"][pictures].any(axis=(1, 2, 3)).all() and not batch["picture"][~pictures].any()
    from trm_cli.data.stream.canvas_codes import render_target

    labels = {render_target(row) for row in batch["target"][pictures]}
    assert labels == {b"red square", b"sea"}
    # Wider than high: shrunk to fit, with borders above and below, nothing cut off.
    assert not batch["picture"][pictures][:, :, 0, :].any() and batch["picture"][pictures][:, :, 8, 0].any()


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
    other = build("--output-dir", small_dataset, "--sources", "stories", "--limit", "1070", "--batch-records", "6")
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
    single = open_stream(root, "train", 84).facts.total_groups
    assert build("--output-dir", root, "--sources", "stories", *FEW, "--weights", "stories=2.5").returncode == 3
    again = build("--output-dir", root, "--sources", "stories", *FEW, "--weights", "stories=2.5", "--rebuild")
    assert again.returncode == 0, again.stderr
    data = open_stream(root, "train", 84)
    assert data.facts.total_groups == round(2.5 * single)
    payloads = [data.store.shard(0).payload(row).tobytes() for row in range(data.facts.total_groups)]
    counts = np.unique([payloads.count(payload) for payload in set(payloads)])
    assert counts.tolist() == [2, 3]
