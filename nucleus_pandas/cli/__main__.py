"""What ``python -m nucleus_pandas.cli`` runs."""

import sys

from nucleus_pandas.cli import main

if __name__ == "__main__":
    sys.exit(main())
