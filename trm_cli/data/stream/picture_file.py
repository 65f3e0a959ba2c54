"""Read a picture file as the pixels of a record: square, of a fixed size, grey or colour. Needs Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import DatasetError, first_line


def read_picture(path: str | Path, channels: int, side: int) -> NDArray[np.uint8]:
    """Return a picture [channels, side, side], shrunk or enlarged to fit, with black borders, nothing cut off.

    Raises DatasetError naming a file that does not decode.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise DatasetError(f"{path}: pictures need the pillow package", hint="pip install pillow") from error
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = first_line(error) or type(error).__name__
        raise DatasetError(f"{path}: the picture does not decode: {reason}") from error
    square = ImageOps.pad(upright, (side, side), method=Image.Resampling.BICUBIC)
    return np.stack([np.asarray(band, dtype=np.uint8) for band in square.split()])
