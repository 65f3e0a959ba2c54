"""The program `trm`, which `python -m trm_cli` is as well."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext

#: Commands that a scheduler may stop and start again, from their first moment on.
_STARTED_AGAIN = ("adapt", "quickstart", "resume", "train")


def _starting() -> AbstractContextManager[None]:
    from trm_cli.training.signals import starting

    return starting()


def main() -> None:
    """Run `trm`: a signal that comes while it is imported ends it as later ones do, without a traceback."""
    try:
        with _starting() if sys.argv[1:2] and sys.argv[1] in _STARTED_AGAIN else nullcontext():
            from trm_cli.app import main as run

            run()
    except KeyboardInterrupt:
        sys.exit(130)  # ExitCode.INTERRUPTED, which may not be imported yet


if __name__ == "__main__":
    # `-m` puts the working directory first on the path, where a json.py would be taken for Python's own. In a clone the
    # package itself lies there.
    if not sys.flags.safe_path and not __file__.startswith(os.path.join(sys.path[0], "trm_cli", "")):  # noqa: PTH118
        del sys.path[0]

    main()
