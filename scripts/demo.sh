#!/usr/bin/env bash
# The comparison of `make demo`: demo.sh LOADTEST FOLDER. An answer that is unclear is an answer; a machine that did
# other work is given a second chance.
set -euo pipefail

loadtest=$1 folder=$2

validity() {
    sed -n 's/^  "validity": "\(.*\)",\{0,1\}$/\1/p' "$folder/results.json"
}

for attempt in first second; do
    # What is there may be of an earlier run, or of the first attempt.
    rm -f "$folder/results.json" "$folder/report.html"
    code=0
    "$loadtest" compare --quick --out "$folder" || code=$?
    case $code in
        0) break ;;
        4)
            echo "demo: $(validity): the figures are sound, and not everything is decided; see above" >&2
            break
            ;;
        3)
            if [ "$attempt" = first ] && [ "$(validity)" = DISTURBED ]; then
                echo "demo: DISTURBED: the machine did other work meanwhile; trying once more in half a minute" >&2
                # A build or an update may end meanwhile, and what it wrote go to the disk.
                sleep 30
                continue
            fi
            echo "demo: $(validity): the figures say nothing of the system; see above, and run make demo again when the machine does nothing else" >&2
            exit 3
            ;;
        *) exit "$code" ;;
    esac
done
echo "report: $folder/report.html"
