#!/usr/bin/env bash
# usage: scripts/image-context.sh BIN CONTEXT
# Makes a folder for `docker build` whose images take the programs in BIN in place of the first stage of the Dockerfile; all
# its other stages stay. The programs must be built for the Debian of the images.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$1 context=$2
mkdir -p "$context/bin"
for program in auth-service api-service gateway loadtest; do
    strip --strip-debug -o "$context/bin/$program" "$bin/$program"
done
cp /etc/ssl/certs/ca-certificates.crt "$context/"
{
    printf '%s\n' "FROM debian:bookworm-slim AS build" "COPY bin /out/bin/" \
        "COPY ca-certificates.crt /etc/ssl/certs/" "RUN mkdir /out/data"
    sed -n '/^FROM debian.* AS runtime$/,$p' Dockerfile
} >"$context/Dockerfile"
