#!/usr/bin/env bash
# Make sure that the libraries of the system that Qt and OpenCV load are there.
# On Debian and Ubuntu, root gets the missing ones installed; everyone else gets the line to run.
set -eu
cd "$(dirname "$0")/.."

[ "$(uname -s)" = Linux ] || exit 0

# library, and the Debian package that holds it
libraries="
libGL.so.1              libgl1
libEGL.so.1             libegl1
libglib-2.0.so.0        libglib2.0-0
libgthread-2.0.so.0     libglib2.0-0
libdbus-1.so.3          libdbus-1-3
libfontconfig.so.1      libfontconfig1
libxkbcommon.so.0       libxkbcommon0
libxkbcommon-x11.so.0   libxkbcommon-x11-0
libX11-xcb.so.1         libx11-xcb1
libxcb-cursor.so.0      libxcb-cursor0
libxcb-icccm.so.4       libxcb-icccm4
libxcb-image.so.0       libxcb-image0
libxcb-keysyms.so.1     libxcb-keysyms1
libxcb-randr.so.0       libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0       libxcb-shape0
libxcb-xinerama.so.0    libxcb-xinerama0
libxcb-xkb.so.1         libxcb-xkb1
"

# Prints "library package" for every line of $libraries that cannot be loaded, and a package of fonts if there is none.
missing=$(.venv/bin/python - "$libraries" <<'PYTHON'
import ctypes
import os
import sys

for line in sys.argv[1].split("\n"):
    if not line:
        continue
    library, package = line.split()
    try:
        ctypes.CDLL(library)
    except OSError:
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
