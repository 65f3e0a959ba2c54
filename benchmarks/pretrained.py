"""Train, measure and publish the models that come with the program, into `pretrained/`: `make pretrained`.

Data and weights are made here, by the builders and recipes of this repository; nothing of others is in them. A run that
was interrupted, or is there already, goes on from its last checkpoint. About half an hour of one CPU core;
`python -m benchmarks.pretrained sudoku-4x4` takes two minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import trm_cli as trm
from trm_cli.console.views.card import model_card
from trm_cli.workflows.publish.folder import publish

#: The name of each, the recipe that trains it, and what is changed in it.
MODELS: Mapping[str, tuple[str, ...]] = {
    "sudoku-4x4": ("sudoku-4x4",),
    "sudoku-9x9": ("sudoku-small", "precision=bfloat16"),
}
#: Views of a board that `trm solve` tries.
_VIEWS = 32


def main() -> None:
    """Make those that are asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrained", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(MODELS)}; default all")
    names = parser.parse_args().names or list(MODELS)
    if unknown := set(names) - set(MODELS):
        parser.error(f"no model of the program is called {' or '.join(sorted(unknown))}: {', '.join(MODELS)}")
    for name in names:
        result = trm.train(trm.compose(*MODELS[name], "threads=1", device="cpu", wandb="disabled"))
        model = trm.load(result.run, device="cpu")
        model.evaluate()
        model.evaluate(until_solved=_VIEWS)
        made = publish(str(result.run), Path("pretrained", name), f"pretrained/{name}", model_card, licence="mit")
        print(made.folder, made.facts.parameters, made.facts.evaluations[0]["exact"])


if __name__ == "__main__":
    main()
