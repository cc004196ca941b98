#!/usr/bin/env bash
# Makes the study's environment when there is none (or its lock has changed), then runs the study. ./run_all.sh --help
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="$root/.venv"
python="$venv/bin/python"

fail() { printf 'run_all.sh: %s\n' "$*" >&2; exit 2; }

find_python() {
    local name
    for name in python3.11 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$name"; return
        fi
    done
}

set_up() {
    echo "Setting up the environment in .venv (once; about 7 GB, a few minutes) ..." >&2
    local uv found
    found="$(find_python)"
    if command -v uv >/dev/null; then
        uv=uv
        uv venv --quiet --allow-existing --relocatable --python "${found:-3.11}" "$venv"
    else
        [ -n "$found" ] || fail "found no Python 3.11 (tried python3.11, python3, python): install it, or install uv"
        "$found" -I -m venv "$venv" || fail "$found cannot make a virtual environment: install its venv package, or uv"
        # uv itself comes from the lock too: its lines, with their hashes
        sed -n '/^uv==/,/[^\\]$/p' "$root/requirements.lock" > "$venv/uv.lock"
        "$python" -I -m pip install --quiet --disable-pip-version-check --require-hashes -r "$venv/uv.lock"
        echo "relocatable = true" >> "$venv/pyvenv.cfg"  # for uv
        uv="$venv/bin/uv"
    fi
    "$uv" pip install --quiet --compile-bytecode --python "$python" --require-hashes -r "$root/requirements.lock"
    # ppcore, from here to there: a folder that is moved or copied runs its own code
    echo ../../../.. > "$venv/lib/python3.11/site-packages/priorpath.pth"
    cp "$root/requirements.lock" "$venv/installed.lock"  # last: an interrupted set-up is done again
}

case " $* " in
    *" -h "* | *" --help "*)  # needs no environment
        found="$(find_python)"
        [ -n "$found" ] || fail "found no Python 3.11 (tried python3.11, python3, python): install it, or install uv"
        exec "$found" -I "$root/ppcore/run.py" --help ;;
esac
cmp --silent "$root/requirements.lock" "$venv/installed.lock" || set_up
export PATH="$venv/bin:$PATH"
# -I: no file random.py in the folder one stands in, and nothing in PYTHONPATH, is taken for a module
exec "$python" -I "$root/ppcore/run.py" "$@"
