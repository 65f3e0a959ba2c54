"""Text datasets from the Hugging Face hub, or the knowledge, within seconds, that it cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator

from dataset_builders.documents import Document, find_field
from trm_cli.errors import DatasetError

PROBE_SECONDS = 3.0


def unreachable_because(repository: str) -> str | None:
    """Ask the hub for one dataset. None: it answered (also when it said no); else the reason in a few words.

    One call with a short time-out: `load_dataset` alone would try for 23 seconds. It honours HF_ENDPOINT, proxies and
    offline mode, which a look at the network would not.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().dataset_info(repository, timeout=PROBE_SECONDS)
    except HfHubHTTPError:
        return None
    except Exception as error:  # noqa: BLE001  the classes differ between versions of the hub client and its transport
        return type(error).__name__
    return None


def stay_offline() -> None:
    """Make this process use what the hub's cache holds and nothing else; both switches are needed."""
    import datasets
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True


def read_hub(repository: str, split: str, field: str | None, limit: int | None) -> Iterator[Document]:
    """Yield the first `limit` documents of a split of a hub dataset, streamed. Raises DatasetError."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    where = f"hub dataset {repository}, split {split}"
    # The default is 20 tries five seconds apart; a build can be continued, so it need not wait out an outage.
    datasets.config.STREAMING_READ_MAX_RETRIES = 3
    datasets.disable_progress_bars()
    number = 0
    try:
        for number, record in enumerate(datasets.load_dataset(repository, split=split, streaming=True), start=1):
            text = record.get(field or find_field(list(record), where))
            if not isinstance(text, str):
                raise DatasetError(f"{where}, record {number}: the field {field!r} holds no text")
            yield Document(f"{where}, record {number}", text)
            if limit is not None and number >= limit:
                return
    except DatasetNotFoundError as error:
        raise DatasetError(f"{where}: not found, or not open to you", hint="look at its page on the hub") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{where}: reading ended after {number:,} documents: {reason}",
            hint="run the command again, or name a local file",
        ) from error
