#!/usr/bin/env bash
# Runs scripts/foreign-jose.py with the libraries that it needs, in a Python environment below target/.
# STATEWISE_BIN_DIR has our programs; without it they are built.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
environment=$target/foreign-jose
requirements=scripts/foreign-jose.requirements.txt
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
"$environment/bin/python" scripts/foreign-jose.py "$STATEWISE_BIN_DIR"
