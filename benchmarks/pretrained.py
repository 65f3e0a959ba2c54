"""Train, measure and publish the models that come with the program, into `pretrained/`: `make pretrained`.

Data and weights are made here, by the builders and recipes of this repository; nothing of others is in them. A run that
was interrupted, or is there already, goes on from its last checkpoint. About two minutes of one CPU core.
"""

from __future__ import annotations

from pathlib import Path

import trm_cli as trm
from trm_cli.console.views.card import model_card
from trm_cli.workflows.publish.folder import publish

MODELS = ("sudoku-4x4",)
#: Views of a board that `trm solve` tries.
_VIEWS = 32


def main() -> None:
    """Make each of them."""
    for name in MODELS:
        result = trm.train(trm.compose(name, "threads=1", device="cpu", wandb="disabled"))
        model = trm.load(result.run, device="cpu")
        model.evaluate()
        model.evaluate(until_solved=_VIEWS)
        made = publish(str(result.run), Path("pretrained", name), f"pretrained/{name}", model_card, licence="mit")
        print(made.folder, made.facts.parameters, made.facts.evaluations[0]["exact"])


if __name__ == "__main__":
    main()
