"""Load datasets from the Hugging Face hub with `datasets`, without a long wait when the hub is out of reach."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trm_cli.errors import DatasetError

from .csv_rows import find_columns

_PROBE_SECONDS = 3.0
_ROWS = 65_536


@dataclass(frozen=True)
class HubDataset:
    """A hub data set that was found: on the hub (with its revision), or only in the local cache."""

    repo: str
    revision: str | None
    licence: str
    cached_only: bool

    def columns(self, split: str, named: Mapping[str, str]) -> Iterator[Mapping[str, list[Any]]]:
        """Yield blocks of rows, column by column under our names; `named`: the data set's names where not known.

        Raises DatasetError when the data set cannot be had.
        """
        import datasets

        try:
            data = datasets.load_dataset(self.repo, split=split, revision=self.revision)
        except (OSError, ValueError) as error:
            # ConnectionError (out of reach, nothing cached) and DatasetNotFoundError are OSErrors, a split or
            # configuration that is not there is a ValueError.
            place = "the hub is out of reach and there is no copy in the cache" if self.cached_only else "not readable"
            raise DatasetError(f"hub data set {self.repo}, split {split}: {place}: {error}", hint=_HINT) from error
        places = find_columns(f"hub data set {self.repo}", data.column_names, named)
        names = {ours: data.column_names[place] for ours, place in places.items()}
        for block in data.select_columns(list(names.values())).iter(_ROWS):
            yield {ours: block[theirs] for ours, theirs in names.items()}


_HINT = "check the network and HF_ENDPOINT, or give the files with --source PATH"


def find_hub_dataset(repo: str) -> HubDataset:
    """Look a dataset up on the hub once, with a short timeout; if that fails, use the local cache only. By default the
    library retries for 23 seconds and more before it uses its cache.
    """
    print(f"looking for {repo} on the hub ...", file=sys.stderr, flush=True)
    import datasets
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        info = huggingface_hub.HfApi().dataset_info(repo, timeout=_PROBE_SECONDS)
    except HFValidationError as error:
        raise DatasetError(f"{repo!r} is not the name of a hub dataset: {error}", hint="expected OWNER/NAME") from error
    except HfHubHTTPError as error:
        raise DatasetError(f"the hub does not give out {repo}: {error}", hint="check the name, or log in") from error
    except Exception:  # noqa: BLE001  # the class of a connection error differs between releases of the hub library
        # Both, since each library keeps its own copy; either alone was seen to leave retries in the other.
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = True
        return HubDataset(repo, None, "see the data set's card", cached_only=True)
    licence = info.card_data.get("license") if info.card_data else None
    return HubDataset(repo, info.sha, str(licence or "see the data set's card"), cached_only=False)
