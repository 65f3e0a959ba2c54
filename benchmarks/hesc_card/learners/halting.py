"""What it costs and saves to let rows stop: accuracy against counted arithmetic, by the Q-network and by the BCE head.

Every row is thought through to its last step once; what a policy would have answered, and when, follows from that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.hesc_card.sources.examples import Examples
from trm_cli.models.network import Network
from trm_cli.models.thinking import think

_ROWS = 64
#: Logits of the halting head that are tried.
_THRESHOLDS = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
#: What stopping may cost of the accuracy at full depth.
_ALLOWED = 0.01


class Seen(NamedTuple):
    """Of N rows after each of T steps. right, q_stops bool [N, T]; logits [N, T] of the halting head; flop: of one step
    of a row."""

    right: NDArray[np.bool_]
    q_stops: NDArray[np.bool_]
    logits: NDArray[np.floating]
    flop: float


def curves(network: Network, chosen_on: Examples, held_out: Examples) -> dict[str, Any]:
    """Accuracy and GFLOP a row: at full depth, by the Q-network, by the halting head at each threshold, and at that one
    which on `chosen_on` saves most within a point of full depth."""
    choosing, seen = _seen(network, chosen_on), _seen(network, held_out)
    least = float(choosing.right[:, -1].mean()) - _ALLOWED
    fitting = [t for t in _THRESHOLDS if _outcome(choosing, choosing.logits > t)["accuracy"] >= least]
    best = min(fitting, key=lambda t: _outcome(choosing, choosing.logits > t)["gflop"], default=None)
    never = np.zeros_like(seen.right)
    return {
        "full": _outcome(seen, never),
        "q": _outcome(seen, seen.q_stops),
        "bce": {f"{t:g}": _outcome(seen, seen.logits > t) for t in _THRESHOLDS},
        "threshold": best,
        "at_threshold": None if best is None else _outcome(seen, seen.logits > best),
    }


def _outcome(seen: Seen, stops: NDArray[np.bool_]) -> dict[str, float]:
    """Rows end at the first step that stops, or at the last one."""
    last = seen.right.shape[1] - 1
    ends = np.where(stops.any(1), stops.argmax(1), last)
    right = np.take_along_axis(seen.right, ends[:, None], 1).mean()
    return {"accuracy": round(float(right), 4), "gflop": round(float((ends + 1).mean()) * seen.flop / 1e9, 4)}


def _seen(network: Network, examples: Examples) -> Seen:
    network.eval()
    right, stops, logits, total = [], [], [], 0
    for part in examples.parts(_ROWS):
        batch = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in part.items()}
        asked = batch["target"] != -100
        with FlopCounterMode(display=False) as counter:
            steps = [step.outputs for step in think(network, batch)]
        total += counter.get_total_flops()
        right.append([(((network.answer(one) == batch["target"]) | ~asked).all(1)).numpy() for one in steps])
        stops.append([network.halts(one, "q").numpy() for one in steps])
        logits.append([one.q_halt.numpy() for one in steps])
    found = [np.concatenate([np.stack(one, 1) for one in values]) for values in (right, stops, logits)]
    return Seen(found[0], found[1], found[2], total / found[0].size)
