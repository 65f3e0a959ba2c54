"""Keep Python's garbage collector from looking through what torch and numba make when they are imported.

Their millions of small objects live as long as the program: searching them for circles, several times while they are
made and once more when the interpreter ends, takes a second and finds nothing.
"""

from __future__ import annotations

import atexit
import gc


def spare_imports() -> None:
    """Collect seldom from now on, and not at the end of this process."""
    gc.set_threshold(500_000)
    atexit.register(gc.freeze)
