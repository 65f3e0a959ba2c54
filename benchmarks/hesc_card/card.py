"""The rows of the card: their data, their models, the processor time and the seeds of a full run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks.hesc_card.families import FIRST_ROWS, known_tasks, many_tasks
from benchmarks.hesc_card.family import Task
from benchmarks.hesc_card.learners.classifiers import MODELS as CLASSIFIERS
from benchmarks.hesc_card.results import Job
from benchmarks.hesc_card.sources.data import Known, Source, Unseen
from benchmarks.hesc_card.sources.digits import Digits
from benchmarks.hesc_card.sources.graphs import Graphs
from benchmarks.hesc_card.sources.texts import Texts, python_modules, stories

#: Without a row in a table, which an unseen task has not, so that weights can be averaged. A row of a batch asks five
#: times, so that there are fewer.
_UNSEEN = ("arch.puzzle_emb_ndim=0", "global_batch_size=8", "ema=true", "ema_rate=0.99")
_TEXT = ("global_batch_size=8",)
_DIGIT_COPIES = 12

_FIRST = Known(lambda: FIRST_ROWS, (3, 10), 2_400)
_STORIES, _PICTURES = Texts(stories), Digits(None, _DIGIT_COPIES)
_CELL_MODELS = ("mini", "transformer", "trm")
_TEXT_MODELS = ("mini", "transformer", "count-2", "count-3", "count-5", "count-8")


@dataclass(frozen=True)
class Row:
    """A row of the card.

    sources: its data by kind; on_trial: the same with a part of the training data held out, where `sources` trains on
    all of it. models: those called mini are ours. minutes: processor time of a training. settings: of ours, beside the
    recipe's; variants: further settings of some of ours. batch: rows of an update of a baseline.
    """

    says: str
    sources: Mapping[str, Source]
    models: tuple[str, ...]
    minutes: float
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: int = 3
    settings: tuple[str, ...] = ()
    batch: int = 32
    on_trial: Mapping[str, Source] = field(default_factory=dict)

    def settings_of(self, model: str) -> tuple[str, ...]:
        """The settings of one of ours."""
        return (*self.settings, *self.variants.get(model, ()))


ROWS: dict[str, Row] = {
    "a": Row("copy, recolour, mirror, transpose, shift; sides 3 to 10", {"grids": _FIRST}, _CELL_MODELS, 10),
    "b": Row("the same; sides 3 to 30", {"grids": Known(lambda: FIRST_ROWS, (3, 30), 2_400)}, _CELL_MODELS, 30),
    "c": Row(
        "twenty families; sides 3 to 10", {"grids": Known(partial(known_tasks, 0), (3, 10), 3_000)}, _CELL_MODELS, 30
    ),
    "d": Row("built-in stories, bits a byte", {"text": _STORIES}, _TEXT_MODELS, 30, settings=_TEXT, batch=8),
    "e": Row(
        "the standard library's Python, bits a byte",
        {"text": Texts(python_modules)},
        _TEXT_MODELS,
        30,
        settings=_TEXT,
        batch=8,
    ),
    "f": Row(
        "digits of scikit-learn, official halves",
        {"pictures": _PICTURES},
        ("mini", *CLASSIFIERS),
        10,
        seeds=5,
        on_trial={"pictures": Digits(600, _DIGIT_COPIES)},
    ),
    "g": Row(
        "grids, stories and digits in one run",
        {"grids": _FIRST, "text": _STORIES, "pictures": _PICTURES},
        ("mini",),
        30,
    ),
    "g-grids": Row("the grids of g alone", {"grids": _FIRST}, ("mini",), 10),
    "g-text": Row("the stories of g alone", {"text": _STORIES}, ("mini",), 10, settings=_TEXT),
    "g-pictures": Row("the digits of g alone", {"pictures": _PICTURES}, ("mini",), 10),
    "h": Row(
        "unseen rules from three pairs, families known; sides 3 to 10",
        {"grids": Unseen(many_tasks, (3, 10), trained=78, pairs=8)},
        ("mini",),
        30,
        settings=_UNSEEN,
    ),
}


def _some_families() -> Mapping[str, Task]:
    """Two families that one look answers, and three that need several."""
    tasks = known_tasks(0)
    return {name: tasks[name] for name in ("recolour", "outline", "fill_enclosed", "colour_by_size", "sort_bars")}


ROWS["i"] = Row(
    "easy and hard mixed: what stopping early costs and saves",
    {"grids": Known(_some_families, (3, 10), 3_000)},
    ("mini-halting",),
    30,
    variants={"mini-halting": ("arch.halt_max_steps=6", "arch.enable_dqn=true")},
)
#: 314 thousand parameters of the planner beside 345 thousand of one more block of text and one of the workspace.
_PLANNER = {
    "mini-planner": ("arch.text_workspace=true", "arch.enable_latent_planning=true"),
    "mini-blocks": ("arch.text_workspace=true", "arch.text_layers=5", "arch.H_layers=2"),
}
ROWS["j"] = Row(
    "reachability in graphs of 8 to 16 nodes, told as text: the planner beside blocks",
    {"text": Graphs(20_000)},
    tuple(_PLANNER),
    30,
    settings=_TEXT,
    variants=_PLANNER,
)


def jobs(scale: float) -> list[Job]:
    """Every run of the card."""
    return [
        Job(name, model, seed, scale)
        for name, row in ROWS.items()
        for model in row.models
        # What only counts is the same whatever the seed.
        for seed in range(1 if model.startswith("count") or model in CLASSIFIERS else row.seeds)
    ]
