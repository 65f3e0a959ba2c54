"""From an ARC dataset, as the builder writes it, through batches and votes to pass@k, with an oracle for a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset_builders import arc as builder
from trm_cli.data.arc.identifiers import read_identifiers
from trm_cli.data.arc.test_inputs import read_tests
from trm_cli.data.puzzles.dataset import open_dataset
from trm_cli.evaluation.evaluator import Evaluation
from trm_cli.evaluation.partial_results import PartialResult
from trm_cli.evaluation.protocol import Protocol
from trm_cli.evaluation.rows import Scorer, select
from trm_cli.evaluation.scores.arc_scores import arc_scores, submission
from trm_cli.evaluation.scores.arc_votes import Ballot, count_votes
from trm_cli.evaluation.scores.calibration import sigmoid
from trm_cli.evaluation.scores.summary import joined, shares_by_task, summarise
from trm_cli.models.supervision.carry import Carry, empty_carry
from trm_cli.models.supervision.outputs import Outputs


class Oracle(nn.Module):
    """Answers each augmented row rightly, but for a share of them, where it says nonsense and knows it.

    What it says outside of the answer is arbitrary, as a trained model's is: nothing there was ever asked for.
    """

    halt_max_steps = 2
    label_field = "labels"

    def __init__(self, wrong: float) -> None:
        super().__init__()
        self.wrong = wrong

    def initial_carry(self, batch: dict[str, Tensor]) -> Carry:
        return empty_carry(batch, {})

    def advance(self, carry: Carry, batch: dict[str, Tensor]) -> tuple[Carry, Outputs]:
        labels = batch["labels"]
        generator = torch.Generator().manual_seed(int(batch["puzzle_identifiers"].sum()))
        noise = torch.randint(2, 12, labels.shape, generator=generator)
        lost = torch.rand(labels.shape[0], generator=generator) < self.wrong
        colours = (labels >= 2) & lost[:, None]
        said = torch.where(colours, noise, torch.where(labels < 0, torch.ones_like(labels), labels)).long()
        q_halt = torch.where(lost, -1.0, 1.0)
        logits = nn.functional.one_hot(said, 12).float()
        return carry, Outputs(logits=logits, q_halt=q_halt, q_continue=torch.zeros_like(q_halt))

    def answer(self, outputs: Outputs) -> Tensor:
        return outputs.logits.argmax(-1)

    def halts(self, outputs: Outputs, policy: str) -> Tensor:
        return (outputs.q_halt > 0) & (policy == "bce")


def tasks() -> dict[str, Any]:
    """A recolouring, a mirror and a crop, on grids without symmetry."""
    random = np.random.default_rng(4)

    def pairs(solve: Any, count: int) -> list[dict[str, list[list[int]]]]:
        givens = [random.integers(0, 10, (5, 7)) for _ in range(count)]
        return [{"input": given.tolist(), "output": solve(given).tolist()} for given in givens]

    known = {"recolour": lambda g: (g + 3) % 10, "mirror": np.fliplr, "crop": lambda g: g[1:4, :2]}
    return {name: {"train": pairs(solve, 3), "test": pairs(solve, 2)} for name, solve in known.items()}


@pytest.fixture(scope="module", params=["stored once", "written out"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arc")
    (folder / "source").mkdir()
    for subset, found in (("training", {}), ("evaluation", tasks())):
        (folder / "source" / f"arc-agi_{subset}_challenges.json").write_text(json.dumps(found or _other()))
    flags = ["--source", str(folder / "source"), "--output-dir", str(folder / "data"), "--num-aug", "30"]
    more = ["--materialize"] if request.param == "written out" else []
    assert builder.main([*flags, *more, "--seed", "0"]) == 0
    return folder / "data"


def _other() -> dict[str, Any]:
    return {"other": {"train": [{"input": [[1, 2]], "output": [[3]]}], "test": [{"input": [[4]], "output": [[5]]}]}}


def evaluated(root: Path, folder: Path, wrong: float, *, limit: int | None = None, votes: int | None = None) -> Any:
    data = open_dataset([root], "test")
    scorer = Scorer(Oracle(wrong), data, torch.device("cpu"), Protocol(2, early_halt=True), True, None)
    evaluation = Evaluation(scorer, select(data, limit, votes), 16, padded=False, partial=PartialResult(folder))
    with evaluation.partial.held():
        evaluation.run(lambda done, found: None)
    ballot = Ballot(read_identifiers(root))
    batches = list(evaluation.results())
    for batch in batches:
        inputs = data.eval_at(batch["place"])["inputs"]
        ballot.add(inputs, batch["answers"][:, 0], batch["identifier"], sigmoid(batch["q_halt"][:, 0]))
    columns = joined(batches)
    results = count_votes(ballot, read_tests(root))
    return summarise(columns), arc_scores(results, shares_by_task(columns, ballot.identifiers)), submission(results)


def test_an_oracle_is_recovered_through_all_augmentations(dataset: Path, tmp_path: Path) -> None:
    summary, scores, handed_in = evaluated(dataset, tmp_path, 0.0)
    assert summary["count"] == summary["exact"]["hits"] == 3 * 31 * 2
    assert (scores["tasks"], scores["test_inputs"], scores["votes"]) == (3, 6, 186)
    assert [one["value"] for one in scores["pass"]] == [1.0] * 6
    assert [entry["ranks"] for entry in scores["by_task"]] == [[1, 1]] * 3
    expected = {name: [pair["output"] for pair in task["test"]] for name, task in tasks().items()}
    assert {name: [one["attempt_1"] for one in found] for name, found in handed_in.items()} == expected


def test_a_vote_is_better_than_the_rows_that_it_is_made_of(dataset: Path, tmp_path: Path) -> None:
    summary, scores, _ = evaluated(dataset, tmp_path, 0.8)  # each row has two tries
    assert 0.2 < summary["exact"]["value"] < 0.5
    assert scores["pass"][0]["value"] == 1.0
    assert [one["rows"]["count"] for one in scores["by_task"]] == [62] * 3
    # It knows when it is wrong, and the calibration says so.
    assert summary["q_halt"]["accuracy"]["value"] == 1.0


def test_fewer_votes_and_fewer_tasks(dataset: Path, tmp_path: Path) -> None:
    _, scores, handed_in = evaluated(dataset, tmp_path, 0.0, limit=2, votes=5)
    assert (scores["tasks"], scores["votes"]) == (2, 2 * 5 * 2)
    assert scores["votes_per_input"] == {"least": 5, "most": 5}
    assert len(handed_in) == 3  # every task is handed in
