"""`python -m ohmweave`: the same as the `ohmweave` program."""

import sys

from ohmweave.cli import main

if __name__ == "__main__":
    sys.exit(main())
