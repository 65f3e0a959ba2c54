"""Stream documents of a text dataset on the Hugging Face hub: the first thousands arrive within seconds."""

from __future__ import annotations

from collections.abc import Iterator

from trm_cli.errors import DatasetError

from ..hub import HubDataset
from .fields import TextDocument, document_of


def read_hub(found: HubDataset, split: str, field: str | None) -> Iterator[TextDocument]:
    """Yield the documents of a split of a hub dataset, or of its copy in the cache. Raises DatasetError."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    where = f"hub dataset {found.repo}, split {split}"
    # The default is 20 tries five seconds apart; a build can be continued, so it need not wait out an outage.
    datasets.config.STREAMING_READ_MAX_RETRIES = 3
    datasets.disable_progress_bars()
    number = 0
    try:
        rows = datasets.load_dataset(found.repo, split=split, revision=found.revision, streaming=True)
        for number, record in enumerate(rows, start=1):
            yield document_of(record, f"{where}, record {number}", field)
    except DatasetNotFoundError as error:
        raise DatasetError(f"{where}: not found, or not open to you", hint="look at its page on the hub") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{where}: reading ended after {number:,} documents: {reason}",
            hint="run the command again, or name a local file",
        ) from error
