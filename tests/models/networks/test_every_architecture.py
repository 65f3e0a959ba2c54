"""One real training step of every architecture that ships: finite, complete, and every parameter learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.support.capsules import VOCABULARY, Values, make_batch, make_draws
from tests.support.selection import slow_but
from trm_cli.config import registry
from trm_cli.config.sources.yaml_loader import load_yaml
from trm_cli.models.families import FAMILIES, create_network
from trm_cli.models.hesc.components import parameter_groups
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.network import Network
from trm_cli.models.network_config import NetworkConfig

#: Rows and positions: of capsules one row of each kind and the smallest boards that have several parts.
ROWS, LENGTH, CAPSULE_ROWS, SIDE = 2, 16, 4, 8
STEPS = 6
#: One of each network; the others differ in their sizes.
USUAL = ("trm_sudoku", "trm_arc", "trm_singlez", "trm_hier6", "hrm", "transformer_baseline", "multimodal_hesc_mini")


def architecture(name: str) -> NetworkConfig:
    path = registry.find("arch", name)
    assert path is not None
    document = load_yaml(path)
    return FAMILIES[document.data["family"]].model_validate(document.data)


def build(name: str) -> Network:
    torch.manual_seed(0)
    arch = architecture(name)
    if "replay_min_size" in type(arch).model_fields:
        # Else the Q-network learns later than in the first steps.
        arch = arch.model_copy(update={"replay_min_size": 2})
    length = SIDE**2 if arch.family == "hesc" else LENGTH
    return create_network(arch, vocab_size=VOCABULARY, seq_len=length, num_puzzle_identifiers=3)


def batch_for(model: Network) -> dict[str, Tensor]:
    if isinstance(model, MultimodalHesc):
        return make_batch(rows=CAPSULE_ROWS, side=SIDE)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, VOCABULARY, (2, ROWS, LENGTH), generator=generator, dtype=torch.int32)
    identifiers = torch.arange(ROWS, dtype=torch.int32) % 3
    return {"inputs": tokens[0], "labels": tokens[1], "puzzle_identifiers": identifiers}


@pytest.mark.parametrize("name", slow_but(registry.names("arch"), *USUAL))
def test_a_training_step(name: str) -> None:
    # Defects 2 and 3: some presets crashed in their first step, and half of the parameters never got a gradient.
    model = build(name)
    batch = batch_for(model)
    rows = len(next(iter(batch.values())))
    optimizer = torch.optim.SGD(list(model.trunk_parameters()), lr=1e-4)
    carry, silent = model.initial_carry(batch), {key for key, _ in model.named_parameters()}
    for step in range(STEPS):
        draws = make_draws(model, rows, step)  # type: ignore[arg-type]
        draws[:, 3:4] = 0.0  # rows of multimodal_hesc follow one path each
        result = model(carry, batch, Values(), draws)
        carry = result.carry
        optimizer.zero_grad()
        (result.loss / rows).backward()
        for key, parameter in model.named_parameters():
            if parameter.grad is not None:
                gradient = parameter.grad.to_dense()
                assert gradient.isfinite().all(), key
                if gradient.any():
                    silent.discard(key)
        optimizer.step()
        assert result.loss.isfinite()
        assert torch.stack(list(result.terms.values())).sum().item() == pytest.approx(result.loss.item(), rel=1e-5)
        assert model.answer(result.outputs).shape == (rows, model.seq_len)
        if step and not silent:
            break
    assert silent == set()


@pytest.mark.parametrize("name", [n for n in registry.names("arch") if architecture(n).family == "hesc"])
def test_clipping_groups_of_a_shipped_size_partition_its_parameters(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    grouped = [parameter for group in parameter_groups(model).values() for parameter in group]
    assert sorted(map(id, grouped)) == sorted(map(id, model.parameters()))
