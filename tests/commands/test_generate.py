"""`trm generate`: a trained run writes, the same for a seed, and nothing that would harm a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from dataset_builders import streaming_builder
from dataset_builders import text as text_builder
from tests.support.boards import write_boards
from tests.support.runs import HESC, train
from trm_cli.app import create_app
from trm_cli.data.text.codec import shown
from trm_cli.data.text.stop_texts import StopTexts
from trm_cli.errors import UsageError
from trm_cli.models.layers.sampling import Sampling

#: What a fixture of this module trains is trained once: one worker does all of it.

STORIES = ("arch.causal=true", "arch.mlp_t=false", "arch.pos_encodings=rope", "epochs=1", "eval_interval=1")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run on bytes, one on a stream, one on puzzles: a few updates each."""
    folder = tmp_path_factory.mktemp("runs")
    bytes_, stream = folder / "bytes", folder / "stream"
    flags = ["--limit", "30", "--seq-len", "32", "--test-share", "0.3"]
    assert text_builder.main(["--output-dir", str(bytes_), *flags]) == 0
    flags = ["--sources", "stories", "--limits", "stories=40", "--test-share", "0.2", "--workers", "1"]
    flags += ["--text-window", "64"]
    assert streaming_builder.main(["--output-dir", str(stream), *flags]) == 0
    boards = write_boards(folder / "boards")
    train(bytes_, folder / "tokens-run", *STORIES, stop_at_step=3)
    train(stream, folder / "stream-run", *HESC, arch="multimodal_hesc_mini", stop_at_step=3)
    train(boards, folder / "puzzle-run", stop_at_step=3)
    return {name: folder / f"{name}-run" for name in ("tokens", "stream", "puzzle")}


def call(*words: object) -> Any:
    return CliRunner().invoke(create_app(), ["generate", *map(str, words), "--device", "cpu"])


@pytest.mark.parametrize("kind", ["tokens", "stream"])
def test_a_seed_writes_one_text(runs: dict[str, Path], kind: str) -> None:
    words = (runs[kind], "--prompt", "Once upon a time", "--temperature", "1.5", "--max-new", "12", "--json")
    one, same, other = (json.loads(call(*words, "--seed", seed).stdout) for seed in (1, 1, 2))
    assert one == same
    assert one["tokens"] != other["tokens"]
    assert len(one["tokens"]) == 12 or one["ended"]
    assert one["prompt"] == "Once upon a time"


@pytest.mark.parametrize("kind", ["tokens", "stream"])
def test_a_longer_text_begins_with_the_shorter_one(runs: dict[str, Path], kind: str) -> None:
    # Longer than a row of the one and than a window of the other.
    words = (runs[kind], "--prompt", "The", "--temperature", "2", "--json")
    short, long = (
        json.loads(call(*words, "--max-new", count).stdout) for count in (20, 40 if kind == "tokens" else 100)
    )
    assert long["tokens"][: len(short["tokens"])] == short["tokens"]
    first = {"tokens": 2, "stream": 12}[kind]
    assert all(token == 1 or first <= token < first + 256 for token in long["tokens"])


@pytest.mark.parametrize("kind", ["tokens", "stream"])
def test_the_terminal_gets_the_prompt_and_the_text(runs: dict[str, Path], kind: str) -> None:
    words = (runs[kind], "--prompt", "One day", "--max-new", "8", "--temperature", "0")
    done = call(*words)
    text = json.loads(call(*words, "--json").stdout)["text"]
    assert done.stdout == "One day" + shown(text) + "\n"


def test_without_a_prompt_a_document_begins(runs: dict[str, Path]) -> None:
    for kind in ("tokens", "stream"):
        assert call(runs[kind], "--max-new", "3").exit_code == 0


def test_one_token_in_question_is_no_chance(runs: dict[str, Path]) -> None:
    words = (runs["tokens"], "--prompt", "A", "--max-new", "5", "--json")
    likeliest, alone = (
        json.loads(call(*words, *more).stdout)["tokens"] for more in (("--temperature", 0), ("--top-k", 1))
    )
    assert likeliest == alone


def test_who_cannot_write_says_so(runs: dict[str, Path]) -> None:
    error = call(runs["puzzle"], "--prompt", "A").exception
    assert isinstance(error, UsageError)
    assert "sudoku puzzles, not on text" in str(error)


def test_a_terminal_is_not_given_control_characters() -> None:
    assert shown("a\x1b[31mb\n\tc\x07é") == "a\ufffd[31mb\n\tc\ufffdé"


def test_sampling_follows_its_law() -> None:
    scores = torch.tensor([[0.0, 2.0, -torch.inf, 1.0]]).expand(4000, -1)
    draws = torch.rand(4000, generator=torch.Generator().manual_seed(0))

    def shares(sampling: Sampling) -> list[float]:
        return (torch.bincount(sampling.choose(scores, draws), minlength=4) / 4000).tolist()

    assert shares(Sampling(0.5)) == pytest.approx((scores[0] / 0.5).softmax(-1).tolist(), abs=0.03)
    two = torch.tensor([-torch.inf, 2.0, -torch.inf, 1.0]).softmax(-1)
    assert shares(Sampling(1.0, top_k=2)) == pytest.approx(two.tolist(), abs=0.03)
    assert shares(Sampling(0.0)) == [0, 1, 0, 0]
    assert Sampling(1.0).choose(scores[:1], torch.tensor([1.0])).item() == 3
    # Of the shares 0.09, 0.67, 0, 0.24 the two largest have 0.7 together; the largest alone has 0.6.
    assert shares(Sampling(1.0, top_p=0.7)) == pytest.approx(two.tolist(), abs=0.03)
    assert shares(Sampling(1.0, top_p=0.6)) == [0, 1, 0, 0]
    assert shares(Sampling(1.0, top_p=1.0)) == pytest.approx(scores[0].softmax(-1).tolist(), abs=0.03)
    with pytest.raises(ValueError, match="draws"):
        Sampling(1.0).choose(scores, None)
    with pytest.raises(ValueError, match="temperature"):
        Sampling(-1.0)


def refused(*words: str) -> str:
    done = call("nowhere", *words)
    assert done.exit_code == 2
    return " ".join(done.output.split())


@pytest.mark.parametrize("value", ["inf", "nan", "-1"])
def test_a_temperature_that_is_none_is_refused(value: str) -> None:
    assert "Invalid value for '--temperature'" in refused("--temperature", value)


@pytest.mark.parametrize("value", ["0", "1.1", "-0.5", "nan"])
def test_a_share_that_is_none_is_refused(value: str) -> None:
    assert "Invalid value for '--top-p'" in refused("--top-p", value)


def test_a_stop_text_ends_the_text_and_is_not_shown(runs: dict[str, Path]) -> None:
    words = (runs["stream"], "--prompt", "One day", "--max-new", "40", "--temperature", "3", "--json")
    free = json.loads(call(*words).stdout)["text"]
    stop = next(free[place : place + 2] for place in range(3, len(free)) if free[place : place + 2].isprintable())
    held = json.loads(call(*words, "--stop", "never said by anybody", "--stop", stop).stdout)
    assert held["stopped_at"] == stop and held["text"] == free[: free.index(stop)]
    assert stop not in call(*words[:-1], "--stop", stop).stdout.removeprefix("One day")
    error = call(runs["stream"], "--stop", "").exception
    assert isinstance(error, UsageError) and "at least one character" in str(error)


def test_what_may_begin_a_stop_text_is_held_back() -> None:
    stop = StopTexts(["\n\n", "End."])
    assert [stop.add(piece) for piece in ("a", "\n", "b E", "n", "x", "En", "d", ". more")] == [
        "a", "", "\nb ", "", "Enx", "", "", "",
    ]  # fmt: skip
    assert stop.found == "End."
    other = StopTexts(["ab"])
    assert (other.add("xa"), other.found, other.rest()) == ("x", None, "a")


def test_a_prompt_longer_than_the_window_is_read_from_its_end_and_said(runs: dict[str, Path]) -> None:
    for kind, window in (("tokens", 32), ("stream", 64)):
        prompt = "The cat sat on the mat. " * 5
        words = (runs[kind], "--max-new", "9", "--temperature", "2", "--json")
        long, end = (call(*words, "--prompt", text) for text in (prompt, prompt[-window // 2 :]))
        assert f"of the {len(prompt)} of the prompt the last {window // 2}" in " ".join(long.stderr.split())
        assert "tokens at once" not in end.stderr
        if kind == "tokens":  # in a stream the shorter prompt is a beginning
            assert json.loads(long.stdout)["tokens"] == json.loads(end.stdout)["tokens"]
