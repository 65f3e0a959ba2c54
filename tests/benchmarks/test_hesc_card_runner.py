"""The runner of the benchmark card: examples, count models, results, trainings that continue."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.hesc_card import __main__ as command
from benchmarks.hesc_card import card, results
from benchmarks.hesc_card.families import FIRST_ROWS
from benchmarks.hesc_card.learners import halting, loop
from benchmarks.hesc_card.learners.counts import bits_per_byte
from benchmarks.hesc_card.learners.scoring import Answers, score
from benchmarks.hesc_card.learners.transformers import ByteTransformer, PlainLearner
from benchmarks.hesc_card.results import Job
from benchmarks.hesc_card.running import run
from benchmarks.hesc_card.sources import data
from benchmarks.hesc_card.sources.digits import augmented
from benchmarks.hesc_card.sources.examples import text_examples
from benchmarks.hesc_card.sources.graphs import GRAPH, WINDOW, graph_examples, graph_texts
from benchmarks.hesc_card.sources.texts import stories
from benchmarks.result_file import append_result, read_results
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, START


def test_each_byte_and_each_end_is_asked_once_and_read_as_it_was() -> None:
    shape = StreamShape(text_window=8)
    documents = [bytes(range(97, 97 + length)) for length in (1, 6, 7, 8, 11, 12, 13, 25)]
    batch = text_examples(shape, documents).batch
    said: list[list[int]] = []
    for read, asked in zip(batch["text"].tolist(), batch["target"].tolist(), strict=True):
        if read[0] == START:
            said.append([])
        for place, label in enumerate(asked):
            if label != IGNORED_LABEL:
                # What is asked follows what was read, of which the row shows at least half a window.
                assert read[place] == (said[-1][-1] if said[-1] else START)
                assert len(said[-1]) < 8 or place >= 4
                said[-1].append(label)
    assert said == [[*(byte + FIRST_BYTE for byte in document), EOS] for document in documents]


def _counted(train: list[bytes], asked: list[bytes], order: int) -> float:
    """The same formula, a byte at a time."""
    follows: Counter[tuple[int, ...]] = Counter()
    context: Counter[tuple[int, ...]] = Counter()
    texts = [[257, *text, 256] for text in train]
    for text in texts:
        for end in range(1, len(text)):
            for length in range(min(order, end) + 1):
                context[tuple(text[end - length : end])] += 1
                follows[tuple(text[end - length : end + 1])] += 1
    bits = 0.0
    for text in ([257, *text, 256] for text in asked):
        for end in range(1, len(text)):
            share = 1 / 257
            for length in range(min(order, end) + 1):
                if seen := context[tuple(text[end - length : end])]:
                    weight = seen / (seen + 5)
                    share = weight * follows[tuple(text[end - length : end + 1])] / seen + (1 - weight) * share
            bits -= math.log2(share)
    return bits / sum(map(len, asked))


def test_count_models_are_the_formula() -> None:
    train = [b"the cat sat on the mat", b"a cat and a dog sat", b"on the mat"]
    asked = [b"the dog sat on a cat", b"z"]
    found = bits_per_byte(train, asked, [0, 2, 5])
    assert found == {order: pytest.approx(_counted(train, asked, order)) for order in (0, 2, 5)}


def test_scores_are_of_whole_rows_by_group_and_of_bits() -> None:
    examples = text_examples(StreamShape(text_window=4), [b"ab"])

    def halves(batch: dict[str, torch.Tensor]) -> Answers:
        return Answers(batch["target"].numpy(), np.full(batch["target"].shape, math.log(2)))

    assert score(halves, examples) == {"bits_per_byte": 1.5, "bytes": 2, "rows": 1}  # two bytes and the end


def test_results_are_appended_and_the_newest_of_a_job_counts(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for seed, mean in ((0, 0.5), (1, 0.7), (0, 0.6), (2, 0.9)):
        entry = {
            **Job("a", "mini", seed, 1.0)._asdict(),
            "scores": {"mean": mean, "worst": ["shift", 0.25], "groups": {"shift": 0.25, "copy": 1.0}},
            "parameters": 1_234,
            "updates": 5,
            "processor_seconds": 6.0,
        }
        append_result(entry, file)
    assert len(read_results(file)) == 4
    lines = results.table(read_results(file)).splitlines()
    assert lines[2] == "| a | mini | 1 | 3 | 1,234 | 5, 6 | 70.0 (60.0 to 90.0) | shift 25 |"
    kinds = {"grids": {"mean": 0.5, "groups": {}}, "text": {"bits_per_byte": 1.5}}
    append_result({**entry, **Job("g", "mini", 0, 1.0)._asdict(), "scores": kinds}, file)
    lines = results.table(read_results(file)).splitlines()
    assert [line.split(" | ")[0::6] for line in lines[3:]] == [["| g grids", "50.0"], ["| g text", "1.500"]]


def test_changed_digits_stay_pictures_of_their_labels() -> None:
    picture = np.zeros((1, 8, 8), np.uint8)
    picture[0, 2:6, 3:5] = 200
    drawn, labels = augmented(picture, np.array([7]), 3, seed=0)
    assert drawn.shape == (4, 8, 8) and labels.tolist() == [7] * 4
    assert np.array_equal(drawn[0], picture[0])
    assert all(1_000 < one.sum() < 2_300 for one in drawn.astype(int))


def test_a_baseline_that_is_stopped_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, moments, average and time after an interruption are those before it."""
    rows = {"text": torch.full((1, 4), START), "target": torch.full((1, 4), FIRST_BYTE)}
    clock = iter(range(1_000_000))
    monkeypatch.setattr("benchmarks.processor_time.time.process_time", lambda: next(clock) / 10)

    class Table(ByteTransformer):
        """A byte model of a table alone."""

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.symbols, self.blocks = torch.nn.Embedding(START + 1, 128), torch.nn.Sequential()

    def learner() -> PlainLearner:
        torch.manual_seed(0)
        return PlainLearner(Table())

    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0)

    def stopped(step: int) -> loop.Rows:
        if step == 4:
            raise KeyboardInterrupt
        return rows

    first, again = learner(), learner()
    with pytest.raises(KeyboardInterrupt):
        loop.train(first, stopped, 3.0, 1e-3, tmp_path / "run.pt")
    # No time is left: what comes back is what was there.
    assert loop.train(again, stopped, 0.1, 1e-3, tmp_path / "run.pt").updates == 3
    torch.testing.assert_close(again.state_dict(), first.state_dict())
    assert not torch.equal(again.state_dict()["average"]["symbols.weight"], again.network.symbols.weight)
    assert loop.train(again, lambda _: rows, 3.0, 1e-3, tmp_path / "run.pt").updates > 3


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mini", "transformer", "trm"])
def test_a_toy_row_runs_from_data_to_its_result(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {"copy": FIRST_ROWS["copy"], "mirror": FIRST_ROWS["mirror"]}
    known = data.Known(lambda: tasks, (2, 3), pairs=12, chosen=2, held_out=4)
    row = card.Row(
        "toy", {"grids": known}, ("mini", "transformer", "trm"), 0.02, seeds=1, settings=("arch.H_layers=1",)
    )
    monkeypatch.setattr(card, "ROWS", {"toy": row})
    monkeypatch.setattr("benchmarks.hesc_card.running.ROWS", card.ROWS)
    file = tmp_path / "results.json"
    words = ["--row", "toy", "--model", model, "--seed", "0", "--missing", "--results", str(file)]
    assert command.main([*words, "--out", str(tmp_path)]) == 0
    (entry,) = json.loads(file.read_text())
    assert entry["scores"]["rows"] == 8 and set(entry["scores"]["groups"]) == {"copy", "mirror"}
    assert entry["updates"] >= 1 and entry["processor_seconds"] >= 1
    # Nothing is missing any more; a job whose run is complete is scored again without a further update.
    started = time.process_time()
    assert command.main([*words, "--out", str(tmp_path)]) == 0
    assert time.process_time() - started < 0.5
    again: dict[str, Any] = run(Job("toy", model, 0, 1.0), tmp_path)
    assert again["updates"] == entry["updates"] and again["scores"] == entry["scores"]


def test_the_stories_are_those_of_the_first_measurements() -> None:
    train = stories()[0]
    assert hashlib.sha256(b"\0".join(train)).hexdigest()[:16] == "63a387e57796f899"


def test_a_row_that_stops_costs_what_it_took() -> None:
    """Two rows of three steps: the first is right from the second step on, the other at the last."""
    right = np.array([[False, True, True], [False, False, True]])
    seen = halting.Seen(right, np.array([[False, True, False], [True, False, False]]), np.zeros((2, 3)), 1e9)
    assert halting._outcome(seen, np.zeros((2, 3), bool)) == {"accuracy": 1.0, "gflop": 3.0}
    assert halting._outcome(seen, seen.q_stops) == {"accuracy": 0.5, "gflop": 1.5}


def test_a_graph_is_told_before_its_questions_and_its_answers_are_true() -> None:
    for text in graph_texts(3, 20):
        told, asked = text[: GRAPH - 1].decode(), text[GRAPH - 1 :].decode()
        edges = [(edge[0], edge[1]) for edge in told.split()]
        for question in (asked[i : i + 3] for i in range(0, len(asked), 3)):
            reached, found = {question[0]}, True
            while found:
                found = {end for start, end in edges if start in reached} - reached
                reached |= found
            assert (question[1] in reached) == (question[2] == "+"), question
    examples = graph_examples(StreamShape(text_window=WINDOW), graph_texts(3, 2))
    asked_for = examples.batch["target"][examples.batch["target"] != IGNORED_LABEL] - FIRST_BYTE
    assert len(asked_for) == 40 and set(asked_for.tolist()) == {ord("+"), ord("-")}
