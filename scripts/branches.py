"""Tell what share of lines and branches the tests reached, room by room, and fail below what was promised.

Reads ``.coverage``, which ``make coverage`` has just made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

LEAST = {"clnf_gui": 90.0}
"""Percent of branches, of a package with all its rooms."""


def main() -> int:
    """Print the table; exit code 1 when a package has too few branches covered."""
    command = [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for file, measured in found["files"].items():
        path, summary = Path(file), measured["summary"]
        for room in {path.parts[0], str(path.parent)}:
            sums = rooms[room]
            sums[0] += summary["covered_lines"]
            sums[1] += summary["num_statements"]
            sums[2] += summary["covered_branches"]
            sums[3] += summary["num_branches"]
    print(f"{'':28} {'lines':>16} {'branches':>16}")
    low = []
    for room, (lines, all_lines, branches, all_branches) in sorted(rooms.items()):
        share = 100 * branches / max(all_branches, 1)
        print(f"{room:28} {100 * lines / max(all_lines, 1):7.1f} % of {all_lines:5} {share:6.1f} % of {all_branches:5}")
        if share < LEAST.get(room, 0.0):
            low.append(f"{room}: {share:.1f} % of the branches are reached; expected at least {LEAST[room]:g} %")
    print("\n".join(low), end="\n" if low else "")
    return int(bool(low))


if __name__ == "__main__":
    sys.exit(main())
