"""TRM, HRM and the transformer baseline written a second time, slowly, from the published formulas.

Float64, one row at a time, one function per formula, transposes spelt out, no code in common with `trm_cli`. Only the
names of the weights are shared, because both sides must start from the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

PREFIX = {"trm": ("L_level",), "hrm": ("H_level", "L_level"), "transformer": ("H_level",)}


@dataclass
class Shape:
    """What the formulas need to know besides the weights."""

    family: str
    heads: int
    hidden: int
    seq: int
    puzzle_tokens: int
    layers: int = 2
    H_cycles: int = 1
    L_cycles: int = 1
    mlp_t: bool = False
    positions: str = "rope"
    latent: str = "two"
    theta: float = 10000.0
    max_steps: int = 16
    exploration: float = 0.1
    compare_with_continue: bool = False


@dataclass
class Rows:
    """The carried rows, each a small dictionary of its own."""

    z: list[dict[str, Tensor]]
    steps: list[int]
    halted: list[bool]
    data: list[dict[str, Tensor]] = field(default_factory=list)


def norm(x: Tensor) -> Tensor:
    """Over the last axis."""
    return x / torch.sqrt(torch.mean(x**2, dim=-1, keepdim=True) + 1e-5)


def sigmoid_gate(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    both = torch.einsum("...i,oi->...o", x, w_gate_up)
    half = both.shape[-1] // 2
    gate, up = both[..., :half], both[..., half:]
    return torch.einsum("...i,oi->...o", gate / (1 + torch.exp(-gate)) * up, w_down)


@cache
def angles(length: int, d: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of position * theta^(-2i/d), [L, 1, d / 2] each."""
    table = [[position * theta ** (-2 * i / d) for i in range(d // 2)] for position in range(length)]
    both = torch.tensor(table, dtype=torch.float64)[:, None]
    return torch.cos(both), torch.sin(both)


def turn(x: Tensor, theta: float) -> Tensor:
    """Rotate-half convention; x [L, H, d]."""
    length, _, d = x.shape
    c, s = angles(length, d, theta)
    first, second = x[..., : d // 2], x[..., d // 2 :]
    return torch.cat((first * c - second * s, second * c + first * s), dim=-1)


def attend(h: Tensor, w_qkv: Tensor, w_out: Tensor, shape: Shape) -> Tensor:
    """One row h [L, D]."""
    length = h.shape[0]
    d = shape.hidden // shape.heads
    qkv = (h @ w_qkv.T).reshape(length, 3 * shape.heads, d)
    q, k, v = qkv[:, : shape.heads], qkv[:, shape.heads : 2 * shape.heads], qkv[:, 2 * shape.heads :]
    if shape.positions == "rope":
        q, k = turn(q, shape.theta), turn(k, shape.theta)
    scores = torch.einsum("ahd,bhd->hab", q, k) / math.sqrt(d)
    weights = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    mixed = torch.einsum("hab,bhd->ahd", weights / weights.sum(dim=-1, keepdim=True), v)
    return mixed.reshape(length, -1) @ w_out.T


def network(h: Tensor, injection: Tensor, p: dict[str, Tensor], name: str, shape: Shape) -> Tensor:
    """The stack: h + injection through all blocks; one row [L, D]."""
    h = h + injection
    for i in range(shape.layers):
        w = {key: p[f"{name}.layers.{i}.{key}"] for key in ("gate_up", "down")}
        if shape.mlp_t:
            t = h.T
            w_in, w_out = p[f"{name}.layers.{i}.token_gate_up"], p[f"{name}.layers.{i}.token_down"]
            h = norm(t + sigmoid_gate(t, w_in, w_out)).T
        else:
            h = norm(h + attend(h, p[f"{name}.layers.{i}.qkv"], p[f"{name}.layers.{i}.out"], shape))
        h = norm(h + sigmoid_gate(h, w["gate_up"], w["down"]))
    return h


def embed(row: dict[str, Tensor], p: dict[str, Tensor], shape: Shape) -> Tensor:
    """One row: [L, D]."""
    tokens = [p["embed_tokens"][t] for t in row["inputs"].tolist()]
    if shape.puzzle_tokens:
        learned = p["puzzle_embedding.weight"][row["puzzle_identifiers"].item()]
        flat = torch.cat((learned, torch.zeros(shape.puzzle_tokens * shape.hidden - len(learned), dtype=torch.float64)))
        tokens = list(flat.reshape(shape.puzzle_tokens, shape.hidden)) + tokens
    x = torch.stack(tokens)
    if shape.positions == "learned":
        x = 0.707106781 * (x + p["embed_positions"])
    return math.sqrt(shape.hidden) * x


def think(z: dict[str, Tensor], x: Tensor, p: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """One supervision step of one row."""
    if shape.family == "transformer":
        state = z["z_H"]
        for _ in range(shape.H_cycles):
            state = network(state, x, p, "H_level", shape)
        return {"z_H": state}
    if shape.family == "hrm":
        return _think_hrm(z, x, p, shape)
    for round_ in range(shape.H_cycles):
        with torch.set_grad_enabled(round_ == shape.H_cycles - 1 and torch.is_grad_enabled()):
            z = _round_trm(z, x, p, shape)
    return z


def _round_trm(z: dict[str, Tensor], x: Tensor, p: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    z = dict(z)
    if shape.latent == "single":
        for _ in range(shape.L_cycles):
            z["z_L"] = network(z["z_L"], x, p, "L_level", shape)
        z["z_L"] = network(z["z_L"], torch.zeros_like(x), p, "L_level", shape)
        return z
    names = ["z_L"] if shape.latent == "two" else [f"z_L{i}" for i in range(1, 7)]
    for inner in range(shape.L_cycles):
        target = names[0] if shape.latent == "two" else names[inner]
        z[target] = network(sum(z[n] for n in names), z["z_H"] + x, p, "L_level", shape)
    z["z_H"] = network(z["z_H"], sum(z[n] for n in names), p, "L_level", shape)
    return z


def _think_hrm(z: dict[str, Tensor], x: Tensor, p: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    z_H, z_L = z["z_H"], z["z_L"]
    calls = []  # the whole sequence of calls; only the last two have a gradient
    for _ in range(shape.H_cycles):
        calls += ["L"] * shape.L_cycles + ["H"]
    for number, which in enumerate(calls):
        with torch.set_grad_enabled(number >= len(calls) - 2 and torch.is_grad_enabled()):
            if which == "L":
                z_L = network(z_L, z_H + x, p, "L_level", shape)
            else:
                z_H = network(z_H, z_L, p, "H_level", shape)
    return {"z_H": z_H, "z_L": z_L}


def read(z: dict[str, Tensor], p: dict[str, Tensor], shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [S, V] and the two halting values of one row."""
    answer = z["z_H"] if "z_H" in z else z["z_L"]
    q = p["q_head.weight"] @ answer[0] + p["q_head.bias"]
    return (answer @ p["lm_head"].T)[shape.puzzle_tokens :], q[0], q[1]


def stablemax_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over valid tokens / their number, one row."""
    s = torch.where(logits >= 0, logits + 1, 1 / (1 - logits + 1e-30))
    total, count = torch.zeros((), dtype=torch.float64), 0
    for position, label in enumerate(labels.tolist()):
        if label != -100:
            total = total - torch.log(s[position, label] / s[position].sum())
            count += 1
    return total / max(1, count)


def bce(logit: Tensor, target: Tensor) -> Tensor:
    p = 1 / (1 + torch.exp(-logit))
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p))


def supervise(
    rows: Rows,
    batch: list[dict[str, Tensor]],
    p: dict[str, Tensor],
    shape: Shape,
    draws: list[tuple[float, float]] | None,
) -> tuple[Rows, Tensor, dict[str, float], list[tuple[Tensor, Tensor, Tensor]]]:
    """One step: (rows, loss, metrics, per-row outputs)."""
    loss = torch.zeros((), dtype=torch.float64)
    metrics = dict.fromkeys(("count", "accuracy", "exact_accuracy", "q_halt_accuracy", "steps"), 0.0)
    out_rows, outputs = Rows([], [], [], []), []
    for i, incoming in enumerate(batch):
        if rows.halted[i]:
            data, steps = incoming, 0
            z = {n: p[n.replace("z_", "") + "_init"].expand(shape.seq + shape.puzzle_tokens, -1) for n in rows.z[i]}
        else:
            data, steps, z = rows.data[i], rows.steps[i], rows.z[i]
        x = embed(data, p, shape)
        z = think(z, x, p, shape)
        logits, q_halt, q_continue = read(z, p, shape)
        z = {n: value.detach() for n, value in z.items()}
        steps += 1
        last = steps >= shape.max_steps
        halted = last
        valid = data["labels"] != -100
        guess = logits.argmax(-1)
        hits, count = int((guess == data["labels"])[valid].sum()), int(valid.sum())
        right = count > 0 and hits == count
        if count:
            loss = loss + stablemax_loss(logits, data["labels"])
            loss = loss + 0.5 * bce(q_halt, torch.tensor(float(right), dtype=torch.float64))
        if draws is not None and shape.max_steps > 1:
            want = bool(q_halt > (q_continue if shape.compare_with_continue else 0.0))
            floor = 2 + int(draws[i][1] * (shape.max_steps - 1)) if draws[i][0] < shape.exploration else 0
            halted = (last or want) and steps >= floor
            if shape.compare_with_continue and count:
                with torch.no_grad():
                    _, next_halt, next_continue = read(think(z, x, p, shape), p, shape)
                    best = next_halt if last else torch.maximum(next_halt, next_continue)
                    target = 1 / (1 + torch.exp(-best))
                loss = loss + 0.5 * bce(q_continue, target)
        if halted and count:
            metrics["count"] += 1
            metrics["accuracy"] += hits / count
            metrics["exact_accuracy"] += right
            metrics["q_halt_accuracy"] += bool(q_halt >= 0) == right
            metrics["steps"] += steps
        out_rows.z.append(z)
        out_rows.steps.append(steps)
        out_rows.halted.append(halted)
        out_rows.data.append(data)
        outputs.append((logits.detach(), q_halt.detach(), q_continue.detach()))
    return out_rows, loss, metrics, outputs


class Trainer:
    """AdamATan2 with decay, sign-SGD on the puzzle table, average of the trunk: formulas on float64 dictionaries."""

    def __init__(self, p: dict[str, Tensor], decay: float, table_decay: float, rate: float) -> None:
        self.p = p
        self.trained = [n for n in p if not n.endswith("_init") and n != "puzzle_embedding.weight"]
        self.m = {n: torch.zeros_like(p[n]) for n in self.trained}
        self.v = {n: torch.zeros_like(p[n]) for n in self.trained}
        self.average = {n: p[n].clone() for n in self.trained}
        self.decay, self.table_decay, self.rate, self.t = decay, table_decay, rate, 0

    def step(self, loss: Tensor, leaves: dict[str, Tensor], seen: set[int], lr: float, table_lr: float) -> None:
        """leaves: the parameters that the loss was computed with; seen: puzzle identifiers of this step."""
        names = [n for n in leaves if not n.endswith("_init")]
        gradients = dict(
            zip(names, torch.autograd.grad(loss, [leaves[n] for n in names], allow_unused=True), strict=True)
        )
        self.t += 1
        for n in self.trained:
            g = gradients[n] if gradients[n] is not None else torch.zeros_like(self.p[n])
            self.m[n] = 0.9 * self.m[n] + 0.1 * g
            self.v[n] = 0.95 * self.v[n] + 0.05 * g * g
            turn_ = torch.atan2(self.m[n], torch.sqrt(self.v[n]) / math.sqrt(1 - 0.95**self.t))
            self.p[n] = self.p[n] * (1 - lr * self.decay) - lr / (1 - 0.9**self.t) * turn_
            self.average[n] = self.rate * self.average[n] + (1 - self.rate) * self.p[n]
        if "puzzle_embedding.weight" in self.p:
            table, slope = self.p["puzzle_embedding.weight"].clone(), gradients["puzzle_embedding.weight"]
            for row in seen:
                table[row] = table[row] * (1 - table_lr * self.table_decay) - table_lr * torch.sign(slope[row])
            self.p["puzzle_embedding.weight"] = table
