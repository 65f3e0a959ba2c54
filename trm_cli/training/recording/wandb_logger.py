"""Log metrics to Weights & Biases, online or offline."""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trm_cli.config.schema import RunConfig
from trm_cli.errors import first_line
from trm_cli.shell import quote

#: Longest wait for Weights & Biases at the start and at the end of a run.
WANDB_SECONDS = 20


def wandb_mode(configured: str) -> str:
    """Resolve `auto`: online where an API key is found, else offline; W&B itself is not asked, since it may prompt."""
    if configured == "auto":
        configured = os.environ.get("WANDB_MODE", "") or ("online" if _has_wandb_key() else "offline")
    return "offline" if configured == "dryrun" else configured


def _has_wandb_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        # NETRC is W&B's own variable, of which the module knows nothing.
        return netrc.netrc(os.environ.get("NETRC")).authenticators(_host()) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _host() -> str:
    """The host, and its port, that keys are kept for: WANDB_BASE_URL, else that of `wandb login --host`, else W&B's."""
    address = os.environ.get("WANDB_BASE_URL", "")
    if not address:
        settings = configparser.ConfigParser(interpolation=None)
        folder = Path(os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config/wandb")
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            settings.read([folder / "settings", Path("wandb/settings")])
            address = settings.get("default", "base_url", fallback="")
    return urlsplit(address or "https://api.wandb.ai").netloc or "api.wandb.ai"


def _from_environment(config: RunConfig, directory: Path) -> dict[str, Any]:
    """What a run is called and belongs to: W&B's own variables where the configuration says nothing else."""
    found = os.environ.get
    own_project = config.wandb_project != RunConfig.model_fields["wandb_project"].default
    return {
        "project": config.wandb_project if own_project else found("WANDB_PROJECT") or config.wandb_project,
        "name": found("WANDB_NAME") or directory.name,
        "entity": found("WANDB_ENTITY") or None,
        "tags": [tag.strip() for tag in found("WANDB_TAGS", "").split(",") if tag.strip()] or None,
        "notes": found("WANDB_NOTES") or None,
        "group": found("WANDB_RUN_GROUP") or None,
        "job_type": found("WANDB_JOB_TYPE") or None,
    }


class WandbLogger:
    """Weights & Biases. The run id lives in the checkpoint, so a resumed run continues the same W&B run.

    Where the service cannot be reached the run is logged offline, and the command to sync it is printed at the end.
    """

    def __init__(
        self, config: RunConfig, mode: str, run_id: str, directory: Path, notify: Callable[[str], None]
    ) -> None:
        """mode: of `wandb_mode`."""
        self._notify = notify
        # The parts of a run that was resumed are directories of their own, with one id.
        self._sync = f"wandb sync {quote(directory / 'wandb')}/*run-*-{run_id}"
        os.environ.setdefault("WANDB_SILENT", "true")
        # Through the environment: versions that do not know it ignore it. Without it finishing waits for the network.
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(WANDB_SECONDS))
        os.environ.setdefault("WANDB_FINISH_TIMEOUT_RAISES", "true")
        import wandb

        settings: dict[str, Any] = {"console": "off", "disable_git": True, "save_code": False}
        settings |= {"init_timeout": WANDB_SECONDS, "x_disable_stats": True, "x_disable_meta": True}
        # Its many literal types say nothing about a mode that we have checked.
        start: Callable[..., Any] = partial(
            wandb.init,
            **_from_environment(config, directory),
            id=run_id,
            dir=str(directory),
            config=config.model_dump(),
            resume="allow",
            settings=wandb.Settings(**settings),
        )
        try:
            self._run = start(mode=mode)
        except wandb.errors.Error as error:
            if mode != "online":
                raise
            notify(f"Weights & Biases cannot be reached ({first_line(error)}); logging offline")
            mode = "offline"
            wandb.teardown()  # its service still holds the id of the run that could not be opened
            self._run = start(mode=mode)
        self._offline = mode == "offline"
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, record: dict[str, Any]) -> None:
        """Log the record under its kind: train/loss, eval/exact_accuracy."""
        kind = record["kind"]
        flat = {f"{kind}/{key}": value for key, value in record.items() if key not in ("kind", "step")}
        # Its own step is ours, so that parts that were written offline follow each other. It drops what lies below its
        # last one, as after the return to an earlier checkpoint: there it counts on, and `step` says where we are.
        self._run.log({"step": step, **flat}, step=step if step >= self._run.step else None)

    def close(self) -> None:
        """Finish the W&B run."""
        try:
            self._run.finish()
        except TimeoutError as error:
            raise TimeoutError(f"the upload did not finish; to complete it: {self._sync}") from error
        if self._offline:
            self._notify(f"to upload this run to Weights & Biases: {self._sync}")
