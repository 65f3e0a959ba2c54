"""`trm show-capsules`: a picture for a row, a task and a text; what it shows is what the network did."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from dataset_builders import streaming_builder
from tests.support.boards import write_boards
from tests.support.capsules import make, make_batch
from tests.support.runs import HESC, train
from tests.support.selection import slow_but
from trm_cli.app import create_app
from trm_cli.console.report.capsule_sheet import chosen_steps, draw_sheet
from trm_cli.console.report.pen import WIDTH, ZOOM
from trm_cli.data.opening import open_data
from trm_cli.data.puzzles.kinds import ARC
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.rows import grid_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.errors import TrmError, UsageError
from trm_cli.evaluation.samples.capsule_trace import SampleTrace, TraceStep, trace_sample
from trm_cli.evaluation.samples.written_text import NO_LETTER, FreeText, MarkedText, marked
from trm_cli.models.hesc.rows.kinds import EOS, FIRST_BYTE, Kind
from trm_cli.workflows.inspect.capsules import SampleCapsuleTrace, trace_capsules

#: What a fixture of this module trains is trained once: one worker does all of it.

TASK = {
    "train": [{"input": [[1, 2]], "output": [[2, 1]]}],
    "test": [{"input": [[3, 0], [0, 3]], "output": [[7, 1, 3]]}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capsules")
    flags = [
        "--sources",
        "kaggle/combined",
        "stories",
        "--limits",
        "stories=30",
        "kaggle/combined=8",
        "pictures=60",
        "--augment",
    ]
    flags += ["--augmentations", "2", "--test-share", "0.3", "--workers", "1", "--text-window", "64"]
    flags += ["--pictures", "builtin", "--picture-side", "16", "--demonstrations", "1"]
    assert streaming_builder.main(["--output-dir", str(folder / "data"), *flags]) == 0
    train(folder / "data", folder / "run", *HESC, "arch.board_side=20", arch="multimodal_hesc_mini", stop_at_step=2)
    train(write_boards(folder / "boards"), folder / "puzzles", stop_at_step=2)
    (folder / "task.json").write_text(json.dumps(TASK))
    return folder


def call(folder: Path, sample: str, *words: str, run: str = "run", out: str = "x.png") -> Any:
    given = ["show-capsules", str(folder / run), sample, "--out", str(folder / out), "--device", "cpu", *words]
    return CliRunner().invoke(create_app(), given)


def picture_file(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    return folder / "picture.png"


def test_a_picture_is_given_labels_with_probabilities(folder: Path) -> None:
    words = ["classify", str(folder / "run"), str(picture_file(folder)), "--top", "3", "--device", "cpu"]
    done = CliRunner().invoke(create_app(), [*words, "--json"])
    assert done.exit_code == 0, done.exception
    ((one,),) = (json.loads(done.stdout)["pictures"],)
    shares = [label["probability"] for label in one["labels"]]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
    assert one["labels"][0]["label"] in CliRunner().invoke(create_app(), words).stdout
    error = CliRunner().invoke(create_app(), ["classify", str(folder / "puzzles"), str(picture_file(folder))]).exception
    assert isinstance(error, UsageError) and "not on pictures" in str(error)


SAMPLES = ["0", "5", "11", "17", "TASK", "PICTURE", "Once upon a time"]


@pytest.mark.parametrize("sample", slow_but(SAMPLES, "0", "TASK", "PICTURE", "Once upon a time"))
def test_a_picture_is_written(folder: Path, sample: str) -> None:
    files = {"TASK": folder / "task.json", "PICTURE": picture_file(folder)}
    done = call(folder, str(files.get(sample, sample)))
    assert done.exit_code == 0, done.exception
    with Image.open(folder / "x.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == WIDTH * ZOOM
        assert picture.height > 900 * ZOOM


def test_the_picture_shows_the_input_the_answer_and_what_is_right(folder: Path) -> None:
    task = str(folder / "task.json")
    assert call(folder, task).exit_code == 0
    solved = CliRunner().invoke(create_app(), ["solve", str(folder / "run"), task, "--votes", "1", "--json"])
    (test,) = json.loads(solved.stdout)["tests"]
    pixels = np.asarray(Image.open(folder / "x.png").convert("RGB"))
    assert np.array_equal(panel(pixels, 0, 2, 2), colours(test["input"]))
    for place, grid in ((1, test["answer"]), (2, [[7, 1, 3]])):
        drawn = panel(pixels, place, len(grid), len(grid[0]))
        assert np.array_equal(drawn, colours(grid)), place


def colours(grid: list[list[int]]) -> np.ndarray:
    return np.array(ARC.palette)[np.array(grid)]


def panel(pixels: np.ndarray, place: int, height: int, width: int) -> np.ndarray:
    """The colours [height, width, 3] at the middle of each cell of one of the large squares at the top."""
    cell = 300 / max(height, width)
    rows, columns = ((np.arange(count) + 0.3) * cell for count in (height, width))
    x, y = 28 + place * 355, 28 + 58 + 20
    found = pixels[np.round((y + rows) * ZOOM).astype(int)][:, np.round((x + columns) * ZOOM).astype(int)]
    return found.astype(int)


def step(opened: list[int], *, shares: bool = True) -> TraceStep:
    return TraceStep(
        answer=np.zeros(16, np.int64),
        confidence=0.4,
        opened=np.isin(np.arange(4), opened),
        shares=np.array([0.2, 0.8], np.float32) if shares else None,
        q=np.array([0.1, 0.9, -0.4], np.float32) if shares else None,
        action="EXPAND",
    )


SOME = MarkedText("some text", (False,) * 9)


def made(steps: list[TraceStep], *, children: bool = True) -> SampleTrace:
    maps = np.zeros((4, 2, 2), np.float32)
    for capsule in range(4):
        maps[capsule, capsule // 2, capsule % 2] = 1
    lost = np.linspace(0, 1, 4, dtype=np.float32) if children else None
    return SampleTrace(np.full((28, 28, 3), 255, np.uint8), None, (2, 2), maps, lost, tuple(steps))


def test_a_capsule_is_orange_where_it_looks_and_blue_around_when_expanded() -> None:
    seen = made([step([]), step([2]), step([2, 3])])
    assert seen.opened_after == {2: 1, 3: 2}
    grid = np.zeros((2, 2), np.uint8)
    drawn = draw_sheet(sheet(seen, [grid] * 3, grid))
    pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB")).astype(int)
    orange = (np.abs(pixels - [230, 113, 67]).sum(-1) < 30).sum()
    # One quarter of each of four maps.
    assert orange == pytest.approx(4 * (150 * ZOOM / 2) ** 2, rel=0.02)
    unopened = draw_sheet(sheet(made([step([])] * 3), [grid] * 3, grid))
    blue = [
        (np.abs(np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).astype(int) - [38, 110, 196]).sum(-1) < 30).sum()
        for one in (drawn, unopened)
    ]
    assert blue[0] > blue[1] + 2 * 4 * 150 * ZOOM


def sheet(seen: SampleTrace, answers: list[Any], wanted: Any) -> SampleCapsuleTrace:
    return SampleCapsuleTrace("title", seen, answers, wanted, None, "architecture", Path("step.pt"), 1)


def test_parts_that_a_model_lacks_are_left_out() -> None:
    whole, less = (draw_sheet(sheet(made([step([], shares=has)]), [SOME], None)) for has in (1, 0))
    heights = [Image.open(io.BytesIO(one)).height for one in (whole, less)]
    assert heights[0] > heights[1]


def test_without_children_nothing_is_said_of_expanding() -> None:
    row = {name: value[:1].numpy() for name, value in make_batch(kinds=(Kind.GRID,)).items()}
    for expansion in (True, False):
        seen = trace_sample(make(enable_expansion=expansion), row, torch.device("cpu"))
        assert (seen.residual is not None) == expansion
    some, none = (ink_about_expanding(made([step([])], children=children)) for children in (True, False))
    assert min(some) > 0
    assert none == (0, 0)


def ink_about_expanding(seen: SampleTrace) -> tuple[int, int]:
    """Pixels that are not paper where the section of the maps explains blue, and to the right of two columns."""
    drawn = draw_sheet(sheet(seen, [SOME], None))
    dark = np.asarray(Image.open(io.BytesIO(drawn)).convert("L")) < 200
    top = 28 + 58 + 20 + 300 + 20
    legend = dark[(top + 33) * ZOOM : (top + 50) * ZOOM, (28 + 420) * ZOOM :]
    beside = dark[(top + 58) * ZOOM : (top + 58 + 2 * 186) * ZOOM, (28 + 2 * 170 + 10) * ZOOM :]
    return int(legend.sum()), int(beside.sum())


def tokens(text: str) -> list[int]:
    return [FIRST_BYTE + byte for byte in text.encode()]


def test_a_character_is_wrong_where_one_of_its_bytes_is() -> None:
    assert marked([*tokens("aé"), EOS]) == MarkedText("aé", (False, False))
    assert marked(tokens("aéb"), tokens("aèb")) == MarkedText("aéb", (False, True, False))
    assert marked(tokens("ab"), tokens("a")) == MarkedText("ab", (False, True))
    # An end where none is, and half a character.
    early = marked([*tokens("a"), EOS, *tokens("b")], tokens("axb"))
    assert early == MarkedText(f"a{NO_LETTER}b", (False, True, False)) and early.share_right == pytest.approx(2 / 3)
    half = marked([*tokens("é")[:1], *tokens("b")], tokens("éb"))
    assert half.text == f"{NO_LETTER}b" and half.wrong[0]


def text_rows(folder: Path) -> list[int]:
    data = open_data([str(folder / "data")], "test", board_side=20)
    return np.flatnonzero(data.eval_batch(0, data.eval_rows)["kind"] == Kind.TEXT).tolist()


def test_of_an_untrained_model_the_text_it_writes_is_shown_wrong(folder: Path) -> None:
    # Fault A10: the right text, predicted letter by letter from itself and drawn one place late, was its answer.
    for row in text_rows(folder)[:2]:
        trace = trace_capsules(str(folder / "run"), str(row))
        free = trace.free
        assert free is not None and free.wanted is not None and isinstance(trace.wanted, MarkedText)
        assert trace.wanted.text.endswith(free.wanted.text) and len(free.wanted.text) > 5
        assert (free.given.text + free.wanted.text).endswith(trace.wanted.text)
        assert free.written.text != free.wanted.text and free.written.share_right < 0.5
        for one, right, wrong in zip(free.written.text, free.wanted.text, free.written.wrong, strict=False):
            assert wrong == (one != right)
        assert len(trace.look.steps) == 2  # as many as a text takes, and no more
        for answer in trace.answers:
            assert isinstance(answer, MarkedText) and answer.share_right < 0.5
    own = trace_capsules(str(folder / "run"), "Once upon a time").free
    assert own is not None and own.wanted is None and not any(own.written.wrong)


def test_wrong_letters_are_red(folder: Path) -> None:
    def red(written: MarkedText) -> int:
        free = FreeText(SOME, written, SOME)
        drawn = draw_sheet(replace(sheet(made([step([])]), [SOME], SOME), free=free))
        pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB")).astype(int)
        return int((np.abs(pixels - [253, 226, 226]).sum(-1) < 6).sum())

    none, one, all_ = (red(MarkedText("letters", marks)) for marks in ((False,) * 7, (True, *[False] * 6), (True,) * 7))
    assert none == 0 < one < all_ / 3


def test_of_many_steps_some_are_drawn() -> None:
    assert chosen_steps([step([])] * 3) == [0, 1, 2]
    some = chosen_steps([step([])] * 64)
    assert (some[0], some[-1], len(some)) == (0, 63, 8)


def test_a_grid_comes_back_from_its_target() -> None:
    shape = StreamShape(8)
    given = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    for wanted in (np.array([[9]], np.uint8), given.T.copy(), np.ones((8, 8), np.uint8)):
        row = grid_row(shape, given, wanted, identifier=5)
        assert np.array_equal(answered_grid(row["target"][0], 8), wanted)
        assert np.array_equal(row["cells"][0].reshape(8, 8)[:2, :3], given + 1)
        assert row["puzzle_identifiers"][0] == 5
    with pytest.raises(ValueError, match="does not fit a board"):
        grid_row(shape, np.ones((9, 1), np.uint8))


def test_mistakes_are_said(folder: Path) -> None:
    damaged = folder / "damaged.json"
    damaged.write_text('{"test": [{"input": [[1, 2], [3]]}]}')
    for done, kind, said in (
        (call(folder, "99999"), UsageError, "there is no row 99,999"),
        (call(folder, "0", "--split", "dev"), UsageError, "--split"),
        (call(folder, "0", out="x.svg"), UsageError, ".png"),
        (call(folder, "0", out="nowhere/deep/x.png"), TrmError, "nowhere"),
        (call(folder, "0", run="puzzles"), UsageError, "has no capsules"),
        (call(folder, str(damaged)), UsageError, "test 1: `input` must be a rectangle"),
        (call(folder, str(folder / "task.json"), "--pair", "2"), UsageError, "1 test pair"),
        (call(folder, "lost.json"), UsageError, "lost.json cannot be read"),
    ):
        assert isinstance(done.exception, kind), done.output
        assert said in str(done.exception)
