#!/usr/bin/env bash
# Install Debian packages as root, silently unless it fails: apt_install.sh PACKAGE…
set -eu

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
echo "Installing with apt-get: $*"
if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "apt-get could not install: $*" >&2
    exit 1
fi
