"""``python -m clnf_engine``: the ``clnf`` command."""

from __future__ import annotations

import sys

from clnf_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
