"""Make the model of a configuration, and the training state before the first update."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import UsageError
from trm_cli.models import create_model
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.sharding import shard
from trm_cli.training.ema import EMA
from trm_cli.training.gradients import gradient_groups
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.eager import AdamW
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.state import TrainingState


def make_model(config: RunConfig, metadata: DatasetMetadata, forward_dtype: str) -> nn.Module:
    """Make a new model; its initial weights depend on the seed alone. Raises UsageError for contradictory settings."""
    torch.manual_seed(config.seed)
    settings = config.arch.model_dump(exclude={"family", "name"})
    try:
        return create_model(
            config.arch.family,
            {**settings, "forward_dtype": forward_dtype},
            vocab_size=metadata.vocab_size,
            seq_len=metadata.seq_len,
            num_puzzle_identifiers=metadata.num_puzzle_identifiers,
        )
    except ValueError as error:
        raise UsageError(str(error), hint="`trm configs show` prints every setting with its source") from error


def make_state(config: RunConfig, model: nn.Module, machine: Machine) -> TrainingState:
    """Make the training state before the first update: optimizers, average, gradient scaler."""
    trunk = list(model.trunk_parameters())  # type: ignore[operator]
    betas = (config.beta1, config.beta2)
    optimizer: Optimizer
    if config.optimizer == "adamw":
        optimizer = AdamW(trunk, lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True)
    else:
        optimizer = AdamATan2(trunk, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    table = model.puzzle_embedding
    return TrainingState(
        model=model,
        trunk_optimizer=optimizer,
        puzzle_optimizer=None if table is None else SignSGD(table.weight, weight_decay=config.puzzle_emb_weight_decay),  # type: ignore[arg-type, union-attr]
        ema=EMA(model, config.ema_rate) if config.ema else None,  # type: ignore[arg-type]
        groups=gradient_groups(model),
        scaler=torch.amp.GradScaler(machine.device.value) if machine.precision.value == "float16" else None,
    )


def prepare_model(model: nn.Module, config: RunConfig, machine: Machine, process_group: ProcessGroup) -> bool:
    """Move a model to its device and set it up for training; returns whether it is sharded. Raises UsageError."""
    model.to(machine.torch_device)
    if config.activation_checkpointing:
        model.recompute_activations()  # type: ignore[operator]
    if machine.compile.value == "on":
        model.compile_stacks()  # type: ignore[operator]
    model.share_rows(process_group)  # type: ignore[operator]
    sharded = config.sharding == "fsdp" and process_group.count > 1
    if sharded:
        shard(model, count=process_group.count, device_type=machine.device.value, precision=machine.precision.value)
    return sharded
