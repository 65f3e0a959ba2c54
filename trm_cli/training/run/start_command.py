"""Find the command that starts a run anew, from the configuration in its directory."""

from __future__ import annotations

from pathlib import Path

from trm_cli.config.compose import compose
from trm_cli.config.dump import override
from trm_cli.errors import ConfigError
from trm_cli.shell import command_line
from trm_cli.training.run.config_drift import differences
from trm_cli.training.run.sealed_config import load_run


def start_command(run: Path) -> str:
    """The line of `trm train` that has the configuration of a run: its model, and the settings that differ from it."""
    try:
        config = load_run(run, [override("checkpoint_path", str(run))]).config
        words = [f"arch={config.arch.name}"]
        if compose(config.model).config.arch.name == config.arch.name:
            words = []
        changed = differences(compose(config.model, words).config, config)
    except ConfigError:  # the model is not there any more, or has other keys
        return command_line("trm", "train")
    return command_line("trm", "train", config.model, *words, *(override(one.key, one.now) for one in changed))
