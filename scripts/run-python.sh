#!/usr/bin/env bash
# usage: scripts/run-python.sh NAME [ARGUMENT...]
# Runs scripts/NAME.py with the folder of our programs and the arguments, in a Python environment below target/ with
# what scripts/NAME.requirements.txt lists. STATEWISE_BIN_DIR has our programs; without it they are built.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
shift
target=${CARGO_TARGET_DIR:-target}
environment=$target/python-$name
requirements=scripts/$name.requirements.txt
# Made again when another version is asked for; kept only when everything was installed.
if ! cmp -s "$requirements" "$environment/installed.txt"; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$environment/installed.txt"
fi
if [ -z "${STATEWISE_BIN_DIR:-}" ]; then
    cargo build --quiet --locked --workspace --bins
    STATEWISE_BIN_DIR=$target/debug
fi
"$environment/bin/python" "scripts/$name.py" "$STATEWISE_BIN_DIR" "$@"
