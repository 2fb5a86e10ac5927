"""`python -m hinterland`: the command line, where no script is on the path."""

from __future__ import annotations

import sys

from hinterland.cli.main import main

if __name__ == "__main__":
    sys.argv[0] = "hinterland"
    main()
