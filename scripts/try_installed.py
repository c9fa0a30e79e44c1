"""Try an installed CLNF Studio as a new user does: every kind of command, in a folder whose name is not ASCII.

Run it with the Python of the environment that it is installed in, from anywhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SCRIPTS = sysconfig.get_path("scripts")


def run(*words: str, code: int = 0) -> str:
    """Standard output of a command that must end with this exit code."""
    program = shutil.which(words[0], path=SCRIPTS)
    if program is None:
        sys.exit(f"{words[0]} is not in {SCRIPTS}")
    print("+", *words, flush=True)
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != code or "Traceback" in done.stderr:
        sys.exit(f"exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Run the commands; ends with a sentence at the first that does not do what it should."""
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]
    os.environ |= {"PYTHONUTF8": "1"}
    with tempfile.TemporaryDirectory(prefix="ä photo 面 ") as folder:
        os.chdir(folder)
        from clnf_gui.app import sample_portrait

        shutil.copy(sample_portrait(), "Jürgen 1.jpg")
        for program in ("clnf", "clnf-gui"):
            run(program, "--version")
        run("clnf", "models")
        face = json.loads(run("clnf", "fit", "Jürgen 1.jpg"))
        if not json.dumps(face).count("landmarks"):
            sys.exit("clnf fit tells of no landmarks")
        run("clnf", "trace", "Jürgen 1.jpg", "-o", "läuft.npz")
        run("clnf", "validate", "läuft.npz")
        run("clnf", "diagnose", "Jürgen 1.jpg", "--tools", "invariance", "--report", "wäre.html")
        run("clnf", "completion", "bash")
        run("clnf", "fit", "keins.jpg", code=2)
        run("clnf-gui", "--screenshot", "fënster.png", "Jürgen 1.jpg")
        run("clnf-gui", "keins.jpg", code=2)
        for name in ("läuft.npz", "wäre.html", "fënster.png"):
            if not Path(name).stat().st_size:
                sys.exit(f"{name} is empty")
        where = importlib.util.find_spec("clnf_engine")
        os.chdir(Path(folder).parent)
    print(f"Everything works as installed: {where and where.origin}")


if __name__ == "__main__":
    main()
