"""Tell what the rows of a stream dataset will look like from the arguments of its builder, before it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import TEXT_WINDOW

#: Channels and side of pictures where the arguments say nothing, as the builder has it.
_PICTURE_CHANNELS, _PICTURE_SIDE = 3, 32
_PICTURE_CLASSES = 46
_USUAL_SOURCES = ("kaggle/combined", "tinystories")
_TEXTS, _PICTURES = ("tinystories", "stories", "text:"), ("pictures", "shapes", "images:")


def shape_of_recipe(arguments: Mapping[str, Any], board_side: int) -> StreamShape:
    """The shape of the dataset on a board of `board_side`.

    How many classes a person's own pictures have is known when they are read: until then they have as many as ours.
    arguments: `dataset_args` of a recipe. Sizes that are no numbers (the builder refuses them) count as usual.
    """
    found = arguments.get("sources")
    sources = [str(source) for source in (found if isinstance(found, list | tuple) else _USUAL_SOURCES)]
    texts = [source for source in sources if source.startswith(_TEXTS)]
    pictures = [source for source in sources if source.startswith(_PICTURES)]
    grids = len(texts) + len(pictures) < len(sources)

    def number(key: str, usual: int) -> int:
        value = arguments.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else usual

    picture = (number("picture_channels", _PICTURE_CHANNELS), number("picture_side", _PICTURE_SIDE))
    has_pictures = bool(pictures) or arguments.get("pictures") is not None
    return StreamShape(
        side=board_side if grids else 0,
        text_window=number("text_window", TEXT_WINDOW) if texts else 0,
        picture=picture if has_pictures else None,
        labels=tuple(map(str, range(_PICTURE_CLASSES))) if has_pictures else (),
        demonstrations=number("demonstrations", 0) if grids else 0,
    )
