#!/usr/bin/env bash
# Make sure that the libraries of the system that Qt and OpenCV load are there.
# On Debian and Ubuntu, root gets the missing ones installed; everyone else gets the line to run.
# With the word "compiler", it is a C++ compiler, without which some tests are skipped.
set -eu
cd "$(dirname "$0")/.."

[ "$(uname -s)" = Linux ] || exit 0

if [ "${1:-}" = compiler ]; then
    if ! command -v c++ >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        scripts/apt_install.sh g++ libc6-dev
    fi
    exit 0
fi

# Prints "library package" for every library that cannot be loaded, and a package of fonts if there is none.
missing=$(.venv/bin/python - <<'PYTHON'
import os

from clnf_engine.system_libraries import OPENCV_LIBRARIES, QT_LIBRARIES, missing_libraries

for library, package in missing_libraries(OPENCV_LIBRARIES | QT_LIBRARIES).items():
    print(library, package)

folders = ["/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/run/current-system/sw/share/X11/fonts"]
fonts = (
    name.lower().endswith((".ttf", ".otf", ".ttc"))
    for folder in folders
    for _, _, names in os.walk(os.path.expanduser(folder), followlinks=True)
    for name in names
)
if not any(fonts):
    print("any-font fonts-dejavu-core")
PYTHON
)
[ -n "$missing" ] || exit 0

packages=$(echo "$missing" | awk '!seen[$2]++ { printf "%s%s", separator, $2; separator = " " }')
if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086  # one word per package
        scripts/apt_install.sh $packages
        exit
    fi
    echo "Qt and OpenCV need libraries that are not on this system. Run: sudo apt-get install -y $packages" >&2
else
    names=$(echo "$missing" | awk '{ printf "%s%s", separator, $1; separator = ", " }')
    echo "Qt and OpenCV need libraries that are not on this system; install these with its package manager: $names" >&2
fi
exit 1
