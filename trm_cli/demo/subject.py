"""The run that a page is about: what it can be asked, its answers as plain data, and how its training goes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trm_cli.api.model import Model, load
from trm_cli.data.arc.test_inputs import TESTS_NAME
from trm_cli.data.files.json_file import read_json
from trm_cli.data.puzzles.families import Sudoku
from trm_cli.data.puzzles.kinds import kind_of
from trm_cli.errors import TrmError, UsageError
from trm_cli.workflows.solve.examples import example_puzzles

#: Points of a curve; a page has no more columns than that to draw them.
_POINTS = 400
#: What an evaluation is judged by where there is only text.
_EXACT, _BITS = "exact_accuracy", ("bits_per_byte", "bits_per_token")
#: The longest texts that a page may ask for: a request holds the model for as long as it takes.
_MOST_TOKENS, _MOST_VIEWS = 400, 128
#: Tasks of ARC that the page offers.
_EXAMPLES = 8


@dataclass(frozen=True)
class Subject:
    """A model, and the run directory that it was loaded from."""

    model: Model
    run: Path

    @classmethod
    def open(cls, run: str, device: str, *, onnx: bool = False) -> Subject:
        """Load a run; onnx: its steps are computed by onnxruntime. Raises TrmError."""
        model = load(run, device="cpu" if onnx else device)
        if onnx:
            from trm_cli.training.transfer.onnx_network import with_onnx

            model = replace(model, trained=with_onnx(model.trained))
        subject = cls(model, model.checkpoint.parent)
        if subject.kind in ("sudoku", "maze"):
            for puzzle in subject.about()["examples"][:1]:  # the first answer loads what the others find loaded
                model.solve(puzzle, views=1)
        return subject

    @property
    def kind(self) -> str:
        """sudoku, maze, arc, capsules (ARC tasks and text) or text."""
        metadata = self.model.trained.metadata
        if self.model.config.board_side is not None:
            return "capsules"
        family = kind_of(metadata).typed(metadata)
        if family is not None:
            return "sudoku" if isinstance(family, Sudoku) else "maze"
        return "arc" if kind_of(metadata).votes else "text"

    def about(self) -> dict[str, Any]:
        """What the page shows of the model, and what it needs to draw its puzzles."""
        metadata, config = self.model.trained.metadata, self.model.config
        document = {
            "kind": self.kind,
            "run": str(self.run),
            "model": config.model,
            "architecture": config.arch.name,
            "step": self.model.step,
            "parameters": sum(parameter.numel() for parameter in self.model.network.parameters()),
            "device": str(self.model.device),
            "steps": self.model.network.halt_max_steps,
            "examples": self._tasks() if self.kind == "arc" else example_puzzles(config, metadata, self.run),
        }
        family = kind_of(metadata).typed(metadata) if self.kind in ("sudoku", "maze") else None
        if family is not None:
            document["side"] = math.isqrt(metadata.seq_len)
        if isinstance(family, Sudoku):
            document["box"] = list(family.box)
        return document

    def _tasks(self) -> list[str]:
        """A few tasks of the run's test set as JSON, the shortest first: an ARC run knows the tasks of its dataset."""
        config = self.model.config
        found: list[str] = []
        for path in config.data_paths_test or config.data_paths:
            with suppress(TrmError, OSError, AttributeError):
                found += [json.dumps(task) for task in read_json(Path(path) / TESTS_NAME).values()]
        return sorted(found, key=len)[:_EXAMPLES]

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Solve the puzzle of a request: {"puzzle": text, "views": number}. Raises TrmError for what it cannot read."""
        puzzle, views = request.get("puzzle"), request.get("views", 32)
        if not isinstance(puzzle, str):
            raise UsageError("a request has a puzzle, as text")
        if type(views) is not int or not 1 <= views <= _MOST_VIEWS:
            raise UsageError(f"views is a number from 1 to {_MOST_VIEWS}")
        made = self.model.solve(puzzle, views=views if self.kind in ("sudoku", "maze") else None)
        return {**made.document, "solved": made.solved, "checkpoint": made.solution.checkpoint.name}

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Continue the text of a request: {"prompt": text, "temperature": number, "seed": number}. Raises TrmError."""
        prompt, temperature, seed = request.get("prompt", ""), request.get("temperature", 0.7), request.get("seed", 0)
        if not isinstance(prompt, str) or type(seed) is not int or seed < 0:
            raise UsageError("a request has a prompt, as text, and a seed of at least 0")
        if type(temperature) not in (int, float) or not 0 <= temperature <= 5:
            raise UsageError("temperature is a number from 0 to 5")
        made = self.model.generate(prompt, max_new=_MOST_TOKENS, temperature=temperature, seed=seed)
        return {"text": made.text, "ended": made.ended}

    def training(self) -> dict[str, Any]:
        """The plan of the run, and its curves so far: read anew, so that a run that trains is watched."""
        from trm_cli.training.recording.metrics_log import read_records
        from trm_cli.training.run.sealed_config import load_run_plan
        from trm_cli.training.run_files import METRICS

        plan = load_run_plan(self.run)
        path = self.run / METRICS
        records = read_records(path) if path.exists() else []
        tested = [one for one in records if one.get("kind") == "eval"]
        steps = [one for one in records if one.get("kind") == "train" and one.get("loss") is not None]
        every = max(1, len(steps) // _POINTS)
        parts = [steps[first : first + every] for first in range(0, len(steps), every)]
        return {
            "plan": None if plan is None else plan.to_json(),
            "loss": [[part[-1]["step"], sum(one["loss"] for one in part) / len(part)] for part in parts],
            "exact": [[one["step"], one[by]] for one in tested if (by := one.get("judged_by", _EXACT)) not in _BITS],
            "bits": [[one["step"], bits] for one in tested if (bits := one.get("bits_per_byte")) is not None],
            "step": records[-1]["step"] if records else 0,
        }
