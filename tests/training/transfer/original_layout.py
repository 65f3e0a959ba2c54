"""Files as the original TRM and HRM code writes them: datasets, and state dicts under its names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.support.reference_networks import Shape

VOCABULARY, SEQUENCE, WIDTH, HEADS, TABLE_WIDTH, PUZZLE_TOKENS = 7, 9, 16, 2, 12, 2
INNER = 256  # of SwiGLU: rounded up to a multiple of 256

ARCHITECTURE = f"""# A small network for tests
hidden_size: {WIDTH}
num_heads: {HEADS}
halt_max_steps: 3
puzzle_emb_ndim: {TABLE_WIDTH}
puzzle_emb_len: {PUZZLE_TOKENS}
H_cycles: 2
"""
FAMILIES: dict[str, str] = {
    "attention": "family: trm\nL_cycles: 2\nL_layers: 1\n",
    "mlp_t": "family: trm\nL_cycles: 2\nL_layers: 1\nmlp_t: true\npos_encodings: none\n",
    "hrm": "family: hrm\nL_cycles: 2\nH_layers: 1\nL_layers: 1\n",
    "transformer": "family: transformer\nH_layers: 1\n",
}
SHAPES: dict[str, dict[str, Any]] = {
    "attention": {"family": "trm", "L_cycles": 2},
    "mlp_t": {"family": "trm", "L_cycles": 2, "mlp_t": True, "positions": "none"},
    "hrm": {"family": "hrm", "L_cycles": 2},
    "transformer": {"family": "transformer"},
}


def write_architecture(folder: Path, kind: str) -> Path:
    """An architecture's file, to be named as arch=FILE."""
    path = folder / f"small_{kind}.yaml"
    path.write_text(ARCHITECTURE + FAMILIES[kind])
    return path


def shape_of(kind: str) -> Shape:
    """The same sizes for the reference."""
    common = {"heads": HEADS, "hidden": WIDTH, "seq": SEQUENCE, "puzzle_tokens": PUZZLE_TOKENS, "layers": 1}
    return Shape(**common, H_cycles=2, max_steps=3, **SHAPES[kind])


def state_dict(
    kind: str, identifiers: int, *, prefix: str = "_orig_mod.model.inner.", seed: int = 0
) -> dict[str, Tensor]:
    """Random weights under the names and in the types of the original code: initial states in bfloat16."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * shape[-1] ** -0.5

    length = SEQUENCE + PUZZLE_TOKENS
    found = {
        "embed_tokens.embedding_weight": draw(VOCABULARY, WIDTH),
        "lm_head.weight": draw(VOCABULARY, WIDTH),
        "q_head.weight": draw(2, WIDTH),
        "q_head.bias": draw(2),
        "puzzle_emb.weights": draw(identifiers, TABLE_WIDTH),
    }
    for level in {"hrm": "HL", "transformer": "H"}.get(kind, "L"):
        block = f"{level}_level.layers.0."
        if kind == "mlp_t":
            found[block + "mlp_t.gate_up_proj.weight"] = draw(2 * INNER, length)
            found[block + "mlp_t.down_proj.weight"] = draw(length, INNER)
        else:
            found[block + "self_attn.qkv_proj.weight"] = draw(3 * WIDTH, WIDTH)
            found[block + "self_attn.o_proj.weight"] = draw(WIDTH, WIDTH)
        found[block + "mlp.gate_up_proj.weight"] = draw(2 * INNER, WIDTH)
        found[block + "mlp.down_proj.weight"] = draw(WIDTH, INNER)
    for state in ("H_init",) if kind == "transformer" else ("H_init", "L_init"):
        found[state] = draw(WIDTH).mul(4).bfloat16()
    return {prefix + name: value for name, value in found.items()}


def for_reference(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as the reference names them, in float64; translated here, not by the library."""
    endings = {
        "self_attn.qkv_proj.weight": "qkv",
        "self_attn.o_proj.weight": "out",
        "mlp_t.gate_up_proj.weight": "token_gate_up",
        "mlp_t.down_proj.weight": "token_down",
        "mlp.gate_up_proj.weight": "gate_up",
        "mlp.down_proj.weight": "down",
        "embed_tokens.embedding_weight": "embed_tokens",
        "lm_head.weight": "lm_head",
        "puzzle_emb.weights": "puzzle_embedding.weight",
    }
    found = {}
    for name, value in state.items():
        bare = name.rpartition("inner.")[2]
        for old, new in endings.items():
            if bare.endswith(old):
                bare = bare.removesuffix(old) + new
                break
        found[bare] = value.double()
    return found


def write_dataset(root: Path, names: Sequence[str], *, test: int = 6) -> Path:
    """A dataset as the original builders leave it: ten keys, int64 tokens, a list of names, no manifest.

    Each name but the blank one is a puzzle with two examples; two puzzles make a group.
    """
    random = np.random.default_rng(len(names))
    for split in ("train", "test"):
        puzzles = len(names) - 1
        per_puzzle = 2 if split == "train" else 1
        rows = puzzles * per_puzzle if split == "train" else test
        inputs = random.integers(1, VOCABULARY, (rows, SEQUENCE))
        labels = random.integers(0, VOCABULARY, (rows, SEQUENCE))  # 0 is ignored
        owners = np.arange(1, puzzles + 1) if split == "train" else np.arange(test) % puzzles + 1
        count = len(owners)
        groups = np.append(np.arange(0, count, 2), count)
        arrays = {
            "inputs": inputs.astype(np.int64),
            "labels": labels.astype(np.int64),
            "puzzle_identifiers": owners.astype(np.int32),
            "puzzle_indices": (np.arange(count + 1) * per_puzzle).astype(np.int32),
            "group_indices": groups.astype(np.int32),
        }
        about = {
            "pad_id": 0,
            "ignore_label_id": 0,
            "blank_identifier_id": 0,
            "vocab_size": VOCABULARY,
            "seq_len": SEQUENCE,
            "num_puzzle_identifiers": len(names),
            "total_groups": len(groups) - 1,
            "mean_puzzle_examples": float(per_puzzle),
            "total_puzzles": count,
            "sets": ["all"],
        }
        (root / split).mkdir(parents=True)
        (root / split / "dataset.json").write_text(json.dumps(about))
        for name, array in arrays.items():
            np.save(root / split / f"all__{name}.npy", array)
    (root / "identifiers.json").write_text(json.dumps(list(names)))
    return root
