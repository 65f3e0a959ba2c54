"""A trained model: solve puzzles, write text, name pictures, and measure how often it is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from trm_cli.config.schema import RunConfig
    from trm_cli.models.network import Network
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.classify import Classified
    from trm_cli.workflows.generate import GeneratedText
    from trm_cli.workflows.solve.solve import Solution


def load(run: str | Path | None = None, *, device: str = "auto") -> Model:
    """Load the best checkpoint of a run (a directory, or its name in `checkpoints/`), or a checkpoint file.

    Also a published model: a folder, `hf:OWNER/NAME` on the hub, or one that comes with the program, `pretrained/NAME`;
    None: of these the one with the largest boards. device: auto, cpu, cuda or mps. Raises CheckpointError where there
    is none that is whole.
    """
    from trm_cli.workflows.solve.pretrained import largest_pretrained
    from trm_cli.workflows.trained_model import load as load_trained

    return Model(*load_trained(largest_pretrained().name if run is None else str(run), device))


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model on a device."""

    trained: TrainedModel
    device: torch.device

    @property
    def network(self) -> Network:
        """The network, in evaluation mode: a `torch.nn.Module`."""
        return self.trained.model

    @property
    def config(self) -> RunConfig:
        """The configuration that it was trained with."""
        return self.trained.config

    @property
    def checkpoint(self) -> Path:
        """The file that it was loaded from."""
        return self.trained.checkpoint

    @property
    def step(self) -> int:
        """The updates that it was trained for."""
        return self.trained.step

    def solve(self, puzzle: str | Path, *, steps: int | None = None, views: int | None = None) -> Answer:
        """Solve a Sudoku or a maze (as text), or an ARC task (a JSON file, or its text).

        steps: supervision steps, default as trained. views: symmetries that are tried until the rules hold, default 32.
        Raises UsageError for a puzzle that cannot be read.
        """
        from trm_cli.workflows.observers import SolveObserver
        from trm_cli.workflows.solve.request import SolveRequest
        from trm_cli.workflows.solve.solve import solve_with

        file = Path(puzzle) if isinstance(puzzle, Path) else None
        text = puzzle.read_text(encoding="utf-8-sig") if isinstance(puzzle, Path) else puzzle
        request = SolveRequest(str(self.checkpoint), text, file, steps, views, device=self.device.type)
        return Answer(solve_with(self.trained, self.device, request, SolveObserver()))

    def generate(
        self,
        prompt: str = "",
        *,
        max_new: int = 256,
        temperature: float = 0.7,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: Sequence[str] = (),
        seed: int = 0,
        on_text: Callable[[str], None] = lambda _: None,
    ) -> GeneratedText:
        """Continue a text; `.text` of the result is what follows the prompt.

        temperature: 0 takes the likeliest byte. stop: texts that end it. on_text: receives the prompt, then each piece.
        """
        from trm_cli.workflows.generate import GenerateRequest, generate_with

        request = GenerateRequest(
            str(self.checkpoint), prompt, max_new, temperature, top_k=top_k, top_p=top_p, seed=seed, stop=stop
        )
        return generate_with(self.trained, request, on_text)

    def classify(self, *pictures: str | Path, top: int = 5) -> Sequence[Classified]:
        """Name what is on picture files: for each its likeliest labels with their probabilities."""
        from trm_cli.workflows.classify import classify_with

        names = [str(picture) for picture in pictures]
        return classify_with(self.trained, self.device, names, top=top, run=str(self.checkpoint)).pictures

    def evaluate(self, **options: Any) -> dict[str, Any]:
        """Score it on its test set, or read the result of the same evaluation: the document of `trm evaluate --json`.

        options: fields of `EvaluationRequest`, such as `limit=100`, `views=8`, `until_solved=128`, `data=(path,)`.
        """
        from trm_cli.workflows.scores.evaluate import run_evaluation
        from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest

        document, _ = run_evaluation(EvaluationRequest(run=str(self.checkpoint), device=self.device.type, **options))
        return document

    def __repr__(self) -> str:
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        return (
            f"<trm model {self.config.model}, architecture {self.config.arch.name}, {weights:,} parameters, "
            f"step {self.step:,}, on {self.device}, from {self.checkpoint}>"
        )


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer to a puzzle, and how it changed from step to step. Shows itself as a picture in a notebook."""

    solution: Solution

    @property
    def solved(self) -> bool:
        """Whether the rules hold; of an ARC task, whether no known output was missed."""
        return self.solution.solved

    @property
    def document(self) -> dict[str, Any]:
        """Everything as plain data: the document of `trm solve --json`."""
        from trm_cli.console.answers.solution import solution_document

        return solution_document(self.solution)

    @property
    def answer(self) -> str:
        """The answer to a Sudoku or a maze in one line. Raises AttributeError for an ARC task: see `document`."""
        return str(self._of_a_puzzle()["answer"])

    @property
    def steps(self) -> list[tuple[str, float]]:
        """After each supervision step the answer in one line and the model's probability that it is right."""
        return [(step["answer"], step["q_halt"]) for step in self._of_a_puzzle()["steps"]]

    def _of_a_puzzle(self) -> dict[str, Any]:
        document = self.document
        if "answer" not in document:
            raise AttributeError("an ARC task has an answer for each test input: see .document['tests']")
        return document

    def __repr__(self) -> str:
        from trm_cli.console.answers.solution import solution_text

        return solution_text(self.solution)

    def _repr_html_(self) -> str:
        from trm_cli.console.answers.solution import solution_html

        return solution_html(self.solution)
