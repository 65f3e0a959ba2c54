"""`python -m trm_cli` is the same program as `trm`."""

import os
import sys

if __name__ == "__main__":
    # `-m` puts the working directory first on the path, where a json.py would be taken for Python's own. In a clone the
    # package itself lies there.
    if not sys.flags.safe_path and not __file__.startswith(os.path.join(sys.path[0], "trm_cli", "")):  # noqa: PTH118
        del sys.path[0]

    from trm_cli.app import main

    main()
