#!/bin/sh
# Gives every crate in the working directory, of which only the manifest is there, the source files that cargo
# insists on, without content: the dependencies can then be built before the sources are copied (see Dockerfile).
set -eu

for manifest in */Cargo.toml; do
    crate=${manifest%/Cargo.toml}
    mkdir -p "$crate/src"
    echo '//! Empty.' >"$crate/src/lib.rs"
    # Cargo refuses a manifest that names a test or a benchmark whose file is not there.
    awk -v crate="$crate" '
        /^\[/ { folder = "" }
        /^\[\[test\]\]/ { folder = crate "/tests" }
        /^\[\[bench\]\]/ { folder = crate "/benches" }
        folder && /^name *=/ { split($0, part, "\""); print folder, part[2] }
    ' "$manifest" | while read -r folder name; do
        mkdir -p "$folder"
        : >"$folder/$name.rs"
    done
done
