"""Make the model of a configuration and the training state before the first update."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.stream.blank import blank_rows, longest_kind
from trm_cli.data.stream.shape import stream_shape
from trm_cli.data.stream.storage.plan import KIND as STREAM
from trm_cli.errors import UsageError
from trm_cli.models.families import create_network
from trm_cli.models.network import Network
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.sharding import shard
from trm_cli.training.gradients import gradient_groups
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.hardware.torch_runtime import set_seed
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.eager import AdamW, EagerOptimizer
from trm_cli.training.optimizers.muon import Muon
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.state.ema import EMA
from trm_cli.training.state.loss_scale import LossScale
from trm_cli.training.state.puzzle_table import TABLE
from trm_cli.training.state.training_state import TrainingState


def make_model(config: RunConfig, metadata: DatasetMetadata, forward_dtype: str) -> Network:
    """Make a new model; its initial weights depend on the seed alone. Raises UsageError for contradictory settings."""
    set_seed(config.seed)
    try:
        return create_network(
            config.arch,
            vocab_size=metadata.vocab_size,
            seq_len=metadata.seq_len,
            num_puzzle_identifiers=metadata.num_puzzle_identifiers,
            forward_dtype=forward_dtype,
        )
    except ValueError as error:
        raise UsageError(str(error), hint="`trm configs show` prints every setting with its source") from error


def blank_batch(
    model: Network, config: RunConfig, metadata: DatasetMetadata, rows: int, device: torch.device | str
) -> Mapping[str, torch.Tensor]:
    """Rows of the size of a dataset's, to see what an update of them costs: of a stream those of the kind with the most
    tokens, without demonstrations."""
    if config.board_side is None or metadata.kind != STREAM:
        return model.blank_batch(rows, device)
    shape = stream_shape(metadata, config.board_side, "the dataset")
    kind = longest_kind(shape, getattr(config.arch, "patches", 0))
    return {name: torch.as_tensor(value).to(device) for name, value in blank_rows(shape, kind, rows).items()}


def make_state(config: RunConfig, model: Network, machine: Machine) -> TrainingState:
    """Make the training state before the first update: optimizers, average, gradient scaler."""
    trunk = list(model.trunk_parameters())
    for parameter in trunk:
        parameter.requires_grad_(not config.freeze_weights)  # without a gradient no optimizer touches it
    betas = (config.beta1, config.beta2)
    optimizer: EagerOptimizer
    if config.optimizer == "adamw":
        optimizer = AdamW(trunk, lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True)
    elif config.optimizer == "muon":
        matrices = set(model.block_matrices())
        groups = [
            {"params": [p for p in trunk if (p in matrices) == inside], "matrices": inside} for inside in (True, False)
        ]
        optimizer = Muon(groups, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    else:
        optimizer = AdamATan2(trunk, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    table = None if model.puzzle_embedding is None else model.get_parameter(TABLE)
    return TrainingState(
        model=model,
        trunk_optimizer=optimizer,
        puzzle_optimizer=None if table is None else SignSGD(table, weight_decay=config.puzzle_emb_weight_decay),
        ema=EMA(model, config.ema_rate) if config.ema else None,
        groups=gradient_groups(model),
        scaler=LossScale(machine.device.value) if machine.precision.value == "float16" else None,
    )


def prepare_model(model: Network, config: RunConfig, machine: Machine, process_group: ProcessGroup) -> bool:
    """Move a model to its device and set it up for training; returns whether it is sharded. Raises UsageError."""
    model.to(machine.torch_device)
    if config.activation_checkpointing:
        model.recompute_activations()
    if machine.compile.value != "off":
        model.compile_stacks(graphs=machine.compile.value == "graphs")
    model.share_rows(process_group)
    sharded = config.sharding == "fsdp" and process_group.count > 1
    if sharded:
        shard(model, count=process_group.count, device_type=machine.device.value, precision=machine.precision.value)
    return sharded
