"""Entry point of ``python -m nucleus_pandas.cli``."""

import sys

from nucleus_pandas.cli import main

if __name__ == "__main__":
    sys.exit(main())
