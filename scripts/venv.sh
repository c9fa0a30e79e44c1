#!/usr/bin/env bash
# Create .venv, still empty, with a Python that all our packages have wheels for.
# PYTHON=/path/to/python chooses the interpreter; where uv is and no such Python, uv fetches one.
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
    if command -v uv >/dev/null; then
        echo 3.13
        return
    fi
    echo "CLNF Studio needs Python 3.11 to 3.14, and none was found: install one, or name it with PYTHON=/path/to/python." >&2
    return 1
}

moved() { # was this folder copied or moved since .venv was made? Its scripts name the old place.
    [ -e .venv/.home ] && [ "$(cat .venv/.home)" != "$PWD" ]
}

if moved || ! fits .venv/bin/python; then
    python=$(choose_python)
    if command -v uv >/dev/null; then
        uv venv --quiet --clear --python "$python" .venv
    else
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
        "$python" -m venv --clear .venv
    fi
    echo "Created .venv with $(.venv/bin/python --version)"
fi
echo "$PWD" >.venv/.home
