#!/usr/bin/env bash
# Install CLNF Studio and these extras into .venv: packages.sh gui test
# uv installs the tested versions of uv.lock, and is itself installed into .venv where there is none. Where it fails,
# for this system has no wheels of just these versions or gets its packages from a mirror that pip knows, pip installs.
set -eu
cd "$(dirname "$0")/.."

log=.venv/install.log
python=.venv/bin/python

pip_install() {
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >>"$log" 2>&1 || return
    "$python" -m pip install --quiet --disable-pip-version-check --retries 1 "$@" >>"$log" 2>&1
}

with_uv() {
    local uv extra extras=()
    uv=$(command -v uv || command -v .venv/bin/uv) || {
        pip_install uv || return
        uv=.venv/bin/uv
    }
    for extra in "$@"; do
        extras+=(--extra "$extra")
    done
    UV_HTTP_RETRIES=${UV_HTTP_RETRIES:-1} UV_PROJECT_ENVIRONMENT="$PWD/.venv" \
        "$uv" sync --inexact "${extras[@]}" >>"$log" 2>&1
}

with_pip() { # the dry run tells soon whether pip reaches an index; it tries that anew for every package
    pip_install --dry-run hatchling && pip_install --editable ".[$(IFS=,; echo "$*")]"
}

offline() {
    grep -qiE 'dns error|name resolution|name or service not known|nodename nor servname|getaddrinfo|unreachable|connection refused|timed out|failed to establish' "$log"
}

echo "Installing CLNF Studio and its packages into .venv ($*)"
: >"$log"
if ! with_uv "$@" && ! with_pip "$@"; then
    if offline; then
        echo "The packages come from https://pypi.org, which cannot be reached from here: connect, and run this again ($log tells more)." >&2
    else
        cat "$log" >&2
        echo "The packages could not be installed; the reason is above, and in $log." >&2
    fi
    exit 1
fi
.venv/bin/clnf warm-up
echo "Installed. The commands clnf and clnf-gui are in .venv/bin; this terminal knows them after: . .venv/bin/activate"
touch ".venv/.has-$(IFS=-; echo "$*")"
