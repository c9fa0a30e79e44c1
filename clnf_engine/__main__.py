"""``python -m clnf_engine``: the ``clnf`` command."""

from __future__ import annotations

import sys

from clnf_engine.commandline.main import main

if __name__ == "__main__":
    sys.exit(main())
