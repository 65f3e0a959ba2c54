"""`trm solve` with a network of capsules: an ARC task in, a grid out, with its demonstrations as in training."""

from __future__ import annotations

import io
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from dataset_builders import streaming_builder
from tests.support.runs import HESC, train
from trm_cli.app import create_app
from trm_cli.console import progress
from trm_cli.console.answers.demonstrated import demonstrated_screen
from trm_cli.data.arc.task import ArcTask
from trm_cli.data.arc.transforms import Transform, augment_grid
from trm_cli.data.opening import open_data
from trm_cli.data.stream.augmentations import UNKNOWN, learned_tasks, view
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.shape import stream_shape
from trm_cli.errors import DatasetError, UsageError
from trm_cli.evaluation.scores.arc_votes import Candidate, key_of
from trm_cli.evaluation.solving.demonstrated import DemonstratedAnswer, solve_task
from trm_cli.models.thinking import think
from trm_cli.training.run.trained_model import load_trained
from trm_cli.workflows.solve.demonstrated import DemonstratedSolution

#: What a fixture of this module trains is trained once: one worker does all of it.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrated")
    flags = ["--sources", "kaggle/combined", "--limits", "kaggle/combined=6", "--augment", "--augmentations", "2"]
    flags += ["--demonstrations", "2"]
    assert streaming_builder.main(["--output-dir", str(folder / "data"), *flags, "--workers", "1"]) == 0
    train(folder / "data", folder / "run", *HESC, "arch.board_side=30", arch="multimodal_hesc_mini", stop_at_step=3)
    return folder


def call(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(create_app(), ["solve", str(folder / "run"), *words])


def test_a_test_record_is_answered_as_in_evaluation(folder: Path) -> None:
    # The task file says the same as a record of the dataset: cells, demonstrations, identifier and answer are the same.
    data = open_data([folder / "data"], "test", board_side=30)
    (batch,) = data.eval_batches(data.facts.total_groups)
    row = {key: value[:1] for key, value in batch.items() if key != "valid"}
    name = json.loads((folder / "data" / "identifiers.json").read_text())[int(row["puzzle_identifiers"][0])]
    side = int(len(row["cells"][0]) ** 0.5)

    def grid(cells: Any, size: Any) -> list[list[int]]:
        found: list[list[int]] = (cells.reshape(side, side)[: size[0], : size[1]].astype(int) - 1).tolist()
        return found

    pairs = [
        {"input": grid(cells[0], size[:2]), "output": grid(cells[1], size[2:])}
        for cells, size in zip(row["pair_cells"][0], row["pair_size"][0], strict=True)
        if size.any()
    ]
    assert pairs
    wanted = answered_grid(row["target"][0], side)
    test = {"input": grid(row["cells"][0], row["size"][0]), "output": wanted.tolist()}
    (folder / f"{name}.json").write_text(json.dumps({"train": pairs, "test": [test]}))
    done = call(folder, str(folder / f"{name}.json"), "--json")
    assert done.exit_code == 5, done.exception
    found = json.loads(done.stdout)
    assert (found["task"], found["known"], found["demonstrations"]) == (name, True, len(pairs))
    model = load_trained(str(folder / "run"), torch.device("cpu")).model
    rows = {key: torch.from_numpy(value) for key, value in row.items()}
    rows["target"][:] = -100  # places that are not asked for are not computed; who solves asks for all of them
    for step, shown in zip(think(model, rows), found["tests"][0]["steps"], strict=True):
        answer = answered_grid(model.answer(step.outputs)[0].numpy(), side)
        assert np.array_equal(answer, shown["answer"])
        assert shown["q_halt"] == pytest.approx(float(torch.sigmoid(step.outputs.q_halt[0])), abs=1e-5)
    assert len(found["tests"][0]["steps"]) == 3


def test_the_screen_shows_how_the_answer_changed() -> None:
    given, first, last = (np.array(grid, np.uint8) for grid in ([[1, 2]], [[3], [4]], [[5, 6], [7, 8]]))
    path = ((1, first, 0.1), (2, last, 0.5), (3, last, 0.75))
    answer = DemonstratedAnswer(given, (Candidate(key_of(last), 1, 0.75),), path, wanted=last)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(demonstrated_screen(DemonstratedSolution("made", True, 0, 1, [answer], Path("step.pt"), 3)))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert [line.split() for line in lines[1:4]] == [
        ["input", "step", "1", "10%", "step", "2", "50%"],
        ["1", "2", "3", "5", "6"],
        ["4", "7", "8"],
    ]
    assert lines[-2:] == ["unchanged since step 2 of 3, 75% confident", "solved"]


def test_many_test_inputs_are_counted_and_the_screen_stays_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    done = call(folder, json.dumps({"train": [], "test": [{"input": [[1]]}] * 23}))
    assert done.exit_code == 0, done.exception
    assert "4 of 184 views of test inputs" in done.stderr
    assert "test input 20 of 23" in done.stdout
    assert "3 more test inputs: --json prints all" in done.stdout


def test_a_task_that_nobody_has_learnt_is_answered_and_said(folder: Path) -> None:
    task = json.dumps({"train": [], "test": [{"input": [[1, 2], [3, 4]]}, {"input": [[5]]}]})
    done = call(folder, task)
    assert done.exit_code == 0, done.exception
    assert "test input 2 of 2" in done.stdout
    assert "the run's dataset does not have this task" in done.stdout
    assert json.loads(call(folder, task, "--json", "--steps", "2").stdout)["tests"][1]["solved"] is None


def test_demonstrations_change_the_answer(folder: Path) -> None:
    task: dict[str, Any] = {"train": [], "test": [{"input": [[1, 2], [3, 4]]}]}
    sure = []
    for output in (None, [[2, 1]], [[1, 1]]):
        task["train"] = [] if output is None else [{"input": [[1, 2]], "output": output}]
        sure.append(json.loads(call(folder, json.dumps(task), "--json").stdout)["tests"][0]["steps"][-1]["q_halt"])
    assert len(set(sure)) == 3


def test_mistakes_are_said(folder: Path) -> None:
    for text, said in (
        ("1234", "is not an ARC task"),
        ('{"test": [{"input": [[10]]}]}', "rectangle"),
        (json.dumps({"test": [{"input": [[0] * 31]}]}), "rectangle"),
        ('{"test": [{"input": [[1]]}], "test": [{"input": [[2]]}]}', "the key 'test' stands twice"),
    ):
        error = call(folder, text).exception
        assert isinstance(error, UsageError)
        assert said in str(error)


def test_each_view_answers_the_turned_task_and_votes_for_what_that_is_when_turned_back(folder: Path) -> None:
    trained = load_trained(str(folder / "run"), torch.device("cpu"))
    shape = stream_shape(trained.metadata, 30, "the run's dataset")
    grids = [np.arange(6, dtype=np.uint8).reshape(2, 3), np.arange(4, dtype=np.uint8).reshape(1, 4)]
    task = ArcTask(((grids[0], grids[1]),), ((grids[1], None),))
    views = [view(UNKNOWN, number) for number in range(5)]
    assert views[0] == (Transform(0, tuple(range(10))), 0)
    assert len(set(views)) == 5
    solved = partial(solve_task, trained.model, shape=shape, device=torch.device("cpu"))
    [together] = solved(task, views=views, batch_size=2)
    voted: Counter[bytes] = Counter()
    for one in views:
        turned = [augment_grid(grid, one.shown) for grid in grids]
        [alone] = solved(ArcTask(((turned[0], turned[1]),), ((turned[1], None),)), views=views[:1])
        shown = [augment_grid(candidate.grid, one.shown) for candidate in together.candidates]
        [place] = [number for number, grid in enumerate(shown) if np.array_equal(grid, alone.answer)]
        voted[together.candidates[place].key] += 1
    assert {one.key: one.votes for one in together.candidates} == voted
    assert together.votes == 5
    assert together.candidates[0].votes == max(voted.values())


def test_a_task_that_was_learned_is_shown_as_it_was_learned_first(folder: Path) -> None:
    known = learned_tasks(folder / "data")
    name, learned = next((name, one) for name, one in known.items() if one.codes[1])
    names = json.loads((folder / "data" / "identifiers.json").read_text())
    assert [view(learned, number).identifier for number in range(3)] == [names.index(name), names.index(name) + 1, 0]
    found = json.loads(
        call(folder, json.dumps({"train": [], "test": [{"input": [[1]]}]}), "--votes", "3", "--json").stdout
    )
    assert (found["views"], found["known"]) == (3, False)
    assert found["tests"][0]["attempts"][0]["output"] == found["tests"][0]["answer"]
    assert 1 <= sum(one["votes"] for one in found["tests"][0]["attempts"]) <= 3


def test_eight_views_of_a_task_that_nobody_has_learnt_are_the_eight_symmetries() -> None:
    views = [view(UNKNOWN, number).shown for number in range(16)]
    assert [one.symmetry for one in views] == [*range(8), *range(8)]
    assert len({one.permutation for one in views[1:]}) > 8


def test_a_table_of_views_that_is_not_of_the_tasks_is_told(tmp_path: Path) -> None:
    (tmp_path / "identifiers.json").write_text(json.dumps(["<blank>", "a", "a", "b"]))
    np.save(tmp_path / "augmentations.npy", np.zeros((1, 2), np.uint32))
    with pytest.raises(DatasetError, match="is not of the tasks"):
        learned_tasks(tmp_path)
