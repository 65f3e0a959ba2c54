"""Measure a model's accuracy: token accuracy, exact accuracy (whole puzzle), halting-head accuracy, bits for text.

Published protocol: every row runs `halt_max_steps` supervision steps and the last answer is scored
(trm_algorithm: evaluation never halts early).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.stream.records import PICTURE
from trm_cli.data.text.labels import TextLabels
from trm_cli.evaluation.micro_batches import micro_batches
from trm_cli.models.thinking import think
from trm_cli.models.upload import computes_apart, to_device

if TYPE_CHECKING:
    import numpy as np

    from trm_cli.models.network import Network

#: Less than one puzzle in a million.
_TIE = 1e-6

_log = logging.getLogger(__name__)


class EvaluationInterrupted(Exception):
    """The evaluation was stopped between two batches; nothing was recorded."""


@dataclass(frozen=True)
class Accuracy:
    """The result of one evaluation; fractions in [0, 1].

    Puzzles, pictures and text are told apart: the fractions are over puzzles where there is one, else over pictures,
    and over the rows of text, of which none is ever right as a whole, only where there is nothing else.
    """

    #: Rows that the fractions are of.
    count: int
    token_accuracy: float
    exact_accuracy: float
    #: How often the halting head is right about its own answer.
    q_halt_accuracy: float
    #: Supervision steps that every row ran.
    steps: int
    #: Pictures, and the share of them that was given its class.
    picture_rows: int = 0
    picture_accuracy: float | None = None
    #: Rows of text.
    text_rows: int = 0
    #: Mean cost of a text's label, the end marks included; and for each byte, where labels are bytes.
    bits_per_token: float | None = None
    bits_per_byte: float | None = None

    #: Which of the fields says how good the model is.
    judged_by: Literal["exact_accuracy", "picture_accuracy", "bits_per_byte", "bits_per_token"] = "exact_accuracy"

    @property
    def score(self) -> float:
        """What the best checkpoint is chosen by: the mean of the exact accuracies of puzzles and of pictures, as far as
        there are any, and between equal ones the share of right tokens, then the mean probability (geometric) of a
        text's byte or token; that probability alone where there is only text."""
        bits = self.bits_per_token if self.bits_per_byte is None else self.bits_per_byte
        probability = 0.0 if bits is None else math.exp2(-bits)
        if self.judged_by not in ("exact_accuracy", "picture_accuracy"):
            return probability
        pictures = self.exact_accuracy if self.picture_accuracy is None else self.picture_accuracy
        return (self.exact_accuracy + pictures) / 2 + _TIE * (self.token_accuracy + _TIE * probability)

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


@dataclass
class _Sums:
    """Counts over rows of one kind, or nats over labels of text."""

    rows: float = 0
    exact: float = 0
    sure: float = 0
    tokens: float = 0
    bytes: float = 0
    token_fraction: float = 0.0
    nats: float = 0.0

    def add(self, rows: Tensor, right: Tensor, tokens: Tensor, sure: Tensor) -> None:
        """Of the rows bool [B]: right and all tokens int [B]; sure bool [B]: halting would have been right about it.

        In host memory, as in `add_text`: there is float64, and nothing that is asked is waited for.
        """
        self.rows += int(rows.sum())
        self.exact += int(((right == tokens) & rows).sum())
        self.sure += int((sure & rows).sum())
        self.token_fraction += float((right / tokens.clamp(min=1))[rows].double().sum())

    def add_text(self, rows: Tensor, nats: Tensor, asked: Tensor, bytes_: Tensor) -> None:
        """Nats float [B, L], 0 where nothing is asked; where something is, and which of that are bytes: 0 or 1."""
        self.nats += float(nats[rows].double().sum())
        self.tokens += int(asked[rows].sum())
        self.bytes += int(bytes_[rows].sum())


def evaluate(
    model: Network,
    batches: Iterable[dict[str, np.ndarray]],
    device: torch.device,
    *,
    steps: int | None = None,
    micro_batch_size: int | None = None,
    between_batches: Callable[[int], bool] | None = None,
    text: TextLabels | None = None,
    total: Callable[[Sequence[float]], Sequence[float]] = tuple,
) -> Accuracy:
    """Score a model on batches that carry its labels [B, L] (-100 ignored) and `valid` [B] (False for padding rows).

    micro_batch_size: rows of a batch that are computed at once, None = all.
    between_batches is called with the number of rows done and ends the evaluation by returning True
    (raises EvaluationInterrupted). A row without any label that counts is not scored. text: which labels are text; a
    row that holds one is a row of text. total: adds up the sums of several processes that have a part of the rows each.
    """
    started = time.monotonic()
    steps = steps or model.halt_max_steps
    sums = _Sums(), _Sums(), _Sums()
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for arrays in batches:
                if between_batches is not None and between_batches(int(sum(one.rows for one in sums))):
                    raise EvaluationInterrupted
                here = {name: torch.from_numpy(array) for name, array in arrays.items()}
                batch = to_device(here, device)
                known = _outline(model, here) if computes_apart(device) else {}
                for rows in micro_batches(len(batch["valid"]), micro_batch_size):
                    part = {name: value[rows] for name, value in batch.items()}
                    layout = _layouts(model, {name: value[rows] for name, value in known.items()}, device)
                    _score_batch(model, part, steps, sums, text, layout)
    finally:
        model.train(was_training)
    summed = iter(total([value for one in sums for value in asdict(one).values()]))
    puzzles, pictures, texts = (_Sums(*(next(summed) for _ in fields(_Sums))) for _ in sums)
    found = _accuracy(puzzles, pictures, texts, steps, text)
    count = int(puzzles.rows + pictures.rows + texts.rows)
    _log.info("evaluated %d rows in %.2f s: %s", count, time.monotonic() - started, found)
    return found


def _outline(model: Network, fields: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return model.outline({name: value for name, value in fields.items() if name != "valid"})


def _layouts(model: Network, known: Mapping[str, Tensor], device: torch.device) -> Callable[[int], Any] | None:
    """The layout of each supervision step of some rows, from their outline; None where nothing follows from them."""
    if not known:
        return None
    rows = len(next(iter(known.values())))

    def of_step(number: int) -> Any:
        leaves, tree = tree_flatten(model.layout(known, torch.full((rows,), number - 1)))
        places = {str(place): leaf for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        for place, moved in to_device(places, device).items():
            leaves[int(place)] = moved
        return tree_unflatten(leaves, tree)

    return of_step


def _score_batch(
    model: Network,
    batch: dict[str, Tensor],
    steps: int,
    sums: tuple[_Sums, _Sums, _Sums],
    text: TextLabels | None,
    layout: Callable[[int], Any] | None,
) -> None:
    puzzles, pictures, texts = sums
    valid = batch.pop("valid")
    labels = batch[model.label_field]
    for step in think(model, batch, steps=steps, layout=layout):
        outputs = step.outputs
    counted = labels != IGNORED_LABEL
    right, tokens = ((model.answer(outputs) == labels) & counted).sum(-1), counted.sum(-1)
    columns = [valid & (tokens > 0), right, tokens, (outputs.q_halt > 0) == (right == tokens)]
    if text is None:
        valid, right, tokens, sure = _to_host(columns)
        puzzles.add(valid > 0, right, tokens, sure > 0)
        return
    is_text = (labels >= text.first) & (labels < text.stop)
    seeing = batch["kind"] == PICTURE if "kind" in batch else torch.zeros_like(valid)
    valid, right, tokens, sure, reading, seeing = _to_host([*columns, is_text.any(-1), seeing])
    kinds = ((puzzles, (reading + seeing) == 0), (pictures, seeing > 0), (texts, reading > 0))
    for one, rows in kinds:
        one.add((valid > 0) & rows, right, tokens, sure > 0)
    nats, asked, bytes_ = _to_host([model.label_nats(outputs, labels), counted, is_text])
    texts.add_text((valid > 0) & (reading > 0), nats, asked, bytes_)


def _to_host(columns: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Tensors of one shape in host memory, as numbers of the first type that can hold all: one wait."""
    return torch.stack(list(columns)).cpu().unbind()


def _accuracy(puzzles: _Sums, pictures: _Sums, texts: _Sums, steps: int, text: TextLabels | None) -> Accuracy:
    of = next((one for one in (puzzles, pictures, texts) if one.rows), puzzles)
    rows = max(1, of.rows)
    bits = texts.nats / math.log(2)
    per_byte = bits / texts.bytes if texts.bytes and text is not None and text.bytes else None
    return Accuracy(
        count=int(of.rows),
        token_accuracy=of.token_fraction / rows,
        exact_accuracy=of.exact / rows,
        q_halt_accuracy=of.sure / rows,
        steps=steps,
        picture_rows=int(pictures.rows),
        picture_accuracy=pictures.exact / pictures.rows if pictures.rows else None,
        text_rows=int(texts.rows),
        bits_per_token=bits / texts.tokens if texts.rows else None,
        bits_per_byte=per_byte,
        judged_by="exact_accuracy"
        if of is puzzles
        else "picture_accuracy"
        if of is pictures
        else "bits_per_token"
        if per_byte is None
        else "bits_per_byte",
    )
