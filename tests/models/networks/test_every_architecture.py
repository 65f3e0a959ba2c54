"""One real training step of every architecture that ships: finite, complete, and every parameter learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.support.capsules import Values, make_batch, make_draws
from trm_cli.config import registry
from trm_cli.config.sources.yaml_loader import load_yaml
from trm_cli.models.families import FAMILIES, create_network
from trm_cli.models.hesc import parameter_budget
from trm_cli.models.hesc.losses import check_answers
from trm_cli.models.hesc.memory import EpisodicMemory
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.network import HescOutputs
from trm_cli.models.hesc.planner import LatentPlanner
from trm_cli.models.layers.outputs import StepResult
from trm_cli.models.network import Network
from trm_cli.models.network_config import NetworkConfig

VOCABULARY, LENGTH, ROWS = 272, 64, 2
STEPS = 6
LARGE = ("multimodal_hesc", "multimodal_hesc_base", "trm_unified")


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
    return create_network(arch, vocab_size=VOCABULARY, seq_len=LENGTH, num_puzzle_identifiers=3)


def batch_for(model: Network) -> dict[str, Tensor]:
    if isinstance(model, MultimodalHesc):
        return make_batch(rows=ROWS, length=LENGTH)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, VOCABULARY, (2, ROWS, LENGTH), generator=generator, dtype=torch.int32)
    identifiers = torch.arange(ROWS, dtype=torch.int32) % 3
    return {"inputs": tokens[0], "labels": tokens[1], "puzzle_identifiers": identifiers}


def fill(memory: EpisodicMemory) -> None:
    """Some rows were solved: an empty memory teaches nobody how to ask it."""
    memory.write(torch.randn(4, memory.keys.shape[1]), torch.randn(4, memory.contents.shape[1]), torch.ones(4))


def check_that_answers_teach(planner: LatentPlanner, result: StepResult) -> None:
    """The loss of the answers alone reaches what thinks: the loss of the values would, whatever becomes of thoughts."""
    assert isinstance(result.outputs, HescOutputs) and result.outputs.thought is not None
    nats = check_answers(result.outputs.thought, result.carry.data["target"]).nats.sum()
    names, parameters = zip(*planner.blocks.named_parameters(), strict=True)
    gradients = torch.autograd.grad(nats, parameters, retain_graph=True, allow_unused=True)
    assert [name for name, found in zip(names, gradients, strict=True) if found is None or not found.any()] == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in registry.names("arch")]
)
def test_a_training_step(name: str) -> None:
    # Defects 2 and 3: some presets crashed in their first step, and half of the parameters never got a gradient.
    model = build(name)
    batch = batch_for(model)
    if isinstance(model, MultimodalHesc) and model.config.enable_memory:
        assert model.network.memory is not None
        fill(model.network.memory)
    optimizer = torch.optim.SGD(list(model.trunk_parameters()), lr=1e-4)
    carry, silent = model.initial_carry(batch), {key for key, _ in model.named_parameters()}
    for step in range(STEPS):
        draws = make_draws(model, ROWS, step)  # type: ignore[arg-type]
        draws[:, 3:4] = 0.0  # rows of multimodal_hesc follow one path each
        result = model(carry, batch, Values(), draws)
        carry = result.carry
        optimizer.zero_grad()
        if step and isinstance(model, MultimodalHesc) and model.config.enable_latent_planning:
            assert model.network.planner is not None  # its last map starts at zero
            check_that_answers_teach(model.network.planner, result)
        (result.loss / ROWS).backward()
        for key, parameter in model.named_parameters():
            if parameter.grad is not None:
                gradient = parameter.grad.to_dense()
                assert gradient.isfinite().all(), key
                if gradient.any():
                    silent.discard(key)
        optimizer.step()
        assert result.loss.isfinite()
        assert torch.stack(list(result.terms.values())).sum().item() == pytest.approx(result.loss.item(), rel=1e-5)
        assert model.answer(result.outputs).shape == (ROWS, LENGTH)
        if step and not silent:
            break
    assert silent == set()


@pytest.mark.parametrize("name", [n for n in registry.names("arch") if architecture(n).family == "hesc"])
def test_clipping_groups_of_a_shipped_size_partition_its_parameters(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    grouped = [parameter for group in parameter_budget.clipping_groups(model).values() for parameter in group]
    assert sorted(map(id, grouped)) == sorted(map(id, model.parameters()))
