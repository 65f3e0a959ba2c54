"""Small networks of every kind, and the same shapes for the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tests.support.reference_networks import Shape
from trm_cli.models.families import FAMILIES, create_network
from trm_cli.models.networks.shared.token_network import TokenNetwork

VOCABULARY, SEQUENCE, IDENTIFIERS = 7, 9, 5
COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "num_heads": 4,
    "expansion": 4.0,
    "pos_encodings": "rope",
    "rope_theta": 10000.0,
    "halt_max_steps": 4,
    "halt_exploration_prob": 0.4,
    "puzzle_emb_ndim": 24,
    "puzzle_emb_len": 2,
}
TRM: dict[str, Any] = {
    **COMMON,
    "H_cycles": 2,
    "L_cycles": 2,
    "L_layers": 2,
    "mlp_t": False,
    "no_ACT_continue": True,
    "latent": "two",
}
HRM: dict[str, Any] = {**COMMON, "H_cycles": 2, "L_cycles": 2, "H_layers": 2, "L_layers": 2}
TRANSFORMER: dict[str, Any] = {**COMMON, "H_cycles": 1, "H_layers": 3, "num_heads": 3}


@dataclass(frozen=True)
class Case:
    """A family with its settings."""

    family: str
    settings: dict[str, Any]
    seed: int = 3  # one with which some rows halt while others go on

    def model(self, dtype: str = "float32") -> TokenNetwork:
        """Halting values are set apart from -5, so that rows halt at different steps."""
        torch.manual_seed(self.seed)
        model = create_network(
            FAMILIES[self.family].model_validate(self.settings),
            vocab_size=VOCABULARY,
            seq_len=SEQUENCE,
            num_puzzle_identifiers=IDENTIFIERS,
            forward_dtype=dtype,
        )
        assert isinstance(model, TokenNetwork)
        with torch.no_grad():
            model.q_head.weight.normal_(std=0.6)
            model.q_head.bias.copy_(torch.tensor([1.0, 0.1]))
            for name, weight in model.named_parameters():
                # A fresh network multiplies a rounding error by ten per step: the same network in float64 with its
                # weights changed by one rounding shows it too. Damped, results can be compared after many steps.
                if name.endswith(("token_down", ".down", ".out")):
                    weight.mul_(0.2 if name.endswith("token_down") else 0.4)
            if model.puzzle_embedding is not None:
                model.puzzle_embedding.weight.normal_(std=0.1)
        return model.double() if dtype == "float64" else model

    def shape(self) -> Shape:
        s = self.settings
        shape = Shape(
            family=self.family,
            heads=s["num_heads"],
            hidden=s["hidden_size"],
            seq=SEQUENCE,
            puzzle_tokens=s["puzzle_emb_len"] if s["puzzle_emb_ndim"] else 0,
            layers=s["L_layers"] if "L_layers" in s else s["H_layers"],
            positions=s["pos_encodings"],
            max_steps=s["halt_max_steps"],
            exploration=s["halt_exploration_prob"],
            compare_with_continue=not s.get("no_ACT_continue", False),
        )
        return replace(
            shape,
            H_cycles=s["H_cycles"],
            L_cycles=s.get("L_cycles", 1),
            mlp_t=s.get("mlp_t", False),
            latent=s.get("latent", "two"),
        )


MLP_T = {"mlp_t": True, "pos_encodings": "none"}
SIX: dict[str, Any] = {**TRM, "latent": "six", "L_cycles": 6, "L_layers": 1}
CASES = {
    "attention": Case("trm", TRM),
    "mlp_t": Case("trm", {**TRM, **MLP_T}),
    "attention_continue": Case("trm", {**TRM, "no_ACT_continue": False}),
    "mlp_t_continue": Case("trm", {**TRM, **MLP_T, "no_ACT_continue": False}),
    "single": Case("trm", {**TRM, "latent": "single"}),
    "six": Case("trm", SIX),
    "single_continue": Case("trm", {**TRM, "latent": "single", "no_ACT_continue": False}),
    "six_continue": Case("trm", {**SIX, "no_ACT_continue": False}),
    "learned_positions": Case("trm", {**TRM, "pos_encodings": "learned"}),
    "no_puzzle_tokens": Case("trm", {**TRM, "puzzle_emb_ndim": 0, "puzzle_emb_len": 0}, seed=5),
    "hrm": Case("hrm", HRM),
    "transformer": Case("transformer", TRANSFORMER),
    "transformer_twice": Case("transformer", {**TRANSFORMER, "H_cycles": 2, "num_heads": 4}, seed=4),
}


def make_batch(seed: int, rows: int = 5, *, unlabelled: int | None = None) -> dict[str, Tensor]:
    """Random rows; some cells have no label, and row `unlabelled` has none at all."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, VOCABULARY, (rows, SEQUENCE), generator=generator, dtype=torch.int32)
    labels = torch.randint(0, VOCABULARY, (rows, SEQUENCE), generator=generator, dtype=torch.int32)
    labels[:, 0] = -100
    labels[0, 2:] = -100  # one valid cell: easy to get right by chance
    if unlabelled is not None:
        labels[unlabelled] = -100
    identifiers = torch.randint(0, IDENTIFIERS, (rows,), generator=generator, dtype=torch.int32)
    return {"inputs": inputs, "labels": labels, "puzzle_identifiers": identifiers}
