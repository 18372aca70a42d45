#!/usr/bin/env bash
# usage: scripts/images.sh TAG [TARGET...]
# Makes the images statewise-TARGET:TAG by the Dockerfile; TARGET: auth-service, api-service, gateway, loadtest (default:
# the first three). The programs are built without what makes them fast and takes long. With STATEWISE_BIN_DIR they are
# those in this folder, which takes seconds; they must run on Debian bookworm.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || {
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
}
tag=$1
shift
targets=("$@")
[ $# -gt 0 ] || targets=(auth-service api-service gateway)

# Whoever cannot make the base images (that takes root and debootstrap) lets docker fetch them.
if [ "$(id -u)" -eq 0 ] && command -v debootstrap >/dev/null; then
    scripts/make-base-images.sh
fi

context=.
if [ -n "${STATEWISE_BIN_DIR:-}" ]; then
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    scripts/image-context.sh "$STATEWISE_BIN_DIR" "$context"
fi
for target in "${targets[@]}"; do
    docker build --quiet --target "$target" --tag "statewise-$target:$tag" --build-arg CARGO_PROFILE_RELEASE_LTO=off \
        --build-arg CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 --build-arg CARGO_PROFILE_RELEASE_OPT_LEVEL=1 "$context"
done
