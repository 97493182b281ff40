"""`python -m lpm` is `lpm`."""

from __future__ import annotations

import sys

from lpm.cli import main

if __name__ == "__main__":
    sys.exit(main())
