"""`python -m trm_cli` is the same program as `trm`."""

from trm_cli.app import main

if __name__ == "__main__":
    main()
