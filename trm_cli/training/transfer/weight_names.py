"""Translate names of weights between the original TRM and HRM code and trm. The tensors themselves are the same.

original                                        here
embed_tokens.embedding_weight                   embed_tokens
embed_pos.embedding_weight                      embed_positions
lm_head.weight                                  lm_head
puzzle_emb.weights                              puzzle_embedding.weight
L_level.layers.0.self_attn.qkv_proj.weight      L_level.layers.0.qkv         (and H_level)
L_level.layers.0.self_attn.o_proj.weight        L_level.layers.0.out
L_level.layers.0.mlp_t.gate_up_proj.weight      L_level.layers.0.token_gate_up
L_level.layers.0.mlp_t.down_proj.weight         L_level.layers.0.token_down
L_level.layers.0.mlp.gate_up_proj.weight        L_level.layers.0.gate_up
L_level.layers.0.mlp.down_proj.weight           L_level.layers.0.down
q_head.weight, q_head.bias, H_init, L_init ...  the same

nano-trm has other names for some, and a halting head of one output: what it never learns is its q_continue.

nano-trm                                        here
input_embedding.embedding_weight                embed_tokens
lenet.layers.0 ...                              L_level.layers.0 ...
z_H_init, z_L_init                              H_init, L_init
q_head.weight [1, D], q_head.bias [1]           q_head.weight [2, D], q_head.bias [2]
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from trm_cli.training.state.puzzle_table import TABLE

#: What a training script of the original code wraps around the network, outermost first.
WRAPPERS = "model.inner."
COMPILED = "_orig_mod."

_ROOT = {
    "embed_tokens.embedding_weight": "embed_tokens",
    "embed_pos.embedding_weight": "embed_positions",
    "lm_head.weight": "lm_head",
    "puzzle_emb.weights": TABLE,
}
_BLOCK = {
    "self_attn.qkv_proj.weight": "qkv",
    "self_attn.o_proj.weight": "out",
    "mlp_t.gate_up_proj.weight": "token_gate_up",
    "mlp_t.down_proj.weight": "token_down",
    "mlp.gate_up_proj.weight": "gate_up",
    "mlp.down_proj.weight": "down",
}
_NANO = {
    "input_embedding.embedding_weight": "embed_tokens",
    "z_H_init": "H_init",
    "z_L_init": "L_init",
}
#: The bias of an output that never decides: it stands for "do not go on".
_NEVER = -5.0
_ROOT_BACK = {ours: original for original, ours in _ROOT.items()}
_BLOCK_BACK = {ours: original for original, ours in _BLOCK.items()}
_LAYER = re.compile(r"([HL]_level\.layers\.\d+)\.(.+)")
_INITIAL = re.compile(r"[HL]\d*_init")
#: Functions of the settings, or copies of rows of the table: not weights.
_DERIVED = ("rotary_emb.cos_cached", "rotary_emb.sin_cached", "puzzle_emb.local_weights", "puzzle_emb.local_ids")


def bare_name(name: str) -> str:
    """A name without what `torch.compile`, data parallelism and the original wrappers put before it."""
    name = name.replace(COMPILED, "")
    for wrapper in ("module.", "model.", "inner."):
        name = name.removeprefix(wrapper)
    return name


def is_derived(name: str) -> bool:
    """Whether a bare original name is no weight."""
    return name in _DERIVED


def is_initial_state(name: str) -> bool:
    """Whether a name is that of an initial state, which is called the same in both."""
    return _INITIAL.fullmatch(name) is not None


def our_name(original: str) -> str:
    """The name here of a bare original name, or of one of nano-trm; other names stay as they are."""
    original = original.replace("lenet.", "L_level.", 1) if original.startswith("lenet.") else original
    if (block := _LAYER.fullmatch(original)) and block[2] in _BLOCK:
        return f"{block[1]}.{_BLOCK[block[2]]}"
    return _ROOT.get(original, _NANO.get(original, original))


def with_both_outputs(name: str, value: Tensor) -> Tensor:
    """A weight of the halting head with q_halt and q_continue, where it has q_halt alone; others as they are."""
    if name not in ("q_head.weight", "q_head.bias") or len(value) != 1:
        return value
    added = torch.zeros_like(value) if name == "q_head.weight" else torch.full_like(value, _NEVER)
    return torch.cat((value, added))


def original_name(ours: str) -> str:
    """The bare original name of one of ours."""
    if (block := _LAYER.fullmatch(ours)) and block[2] in _BLOCK_BACK:
        return f"{block[1]}.{_BLOCK_BACK[block[2]]}"
    return _ROOT_BACK.get(ours, ours)
