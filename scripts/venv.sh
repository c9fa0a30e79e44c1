#!/usr/bin/env bash
# Create .venv with a Python that all our packages have wheels for, and install CLNF Studio and its tools in it.
# PYTHON=/path/to/python chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."

fits() { # does this interpreter run, and is it new enough for us and not too new for PySide6?
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

choose_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || {
            echo "PYTHON=$PYTHON is not a Python from 3.11 to 3.14." >&2
            return 1
        }
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 /usr/bin/python3 python; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "CLNF Studio needs Python 3.11 to 3.14, and none was found: install one, or name it with PYTHON=/path/to/python." >&2
    return 1
}

moved() { # was this folder copied or moved since .venv was made? Its scripts name the old place.
    [ -e .venv/.ready ] && [ "$(cat .venv/.ready)" != "$PWD" ]
}

if moved || ! fits .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(choose_python)
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        # Debian packages these apart from Python itself.
        package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            scripts/apt_install.sh "$package"
        else
            echo "$python cannot create virtual environments; on Debian and Ubuntu run: sudo apt-get install -y $package" >&2
            exit 1
        fi
    fi
    echo "Creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

echo "Installing CLNF Studio and its packages into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[gui,test,dev]"
.venv/bin/clnf warm-up
