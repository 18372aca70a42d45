"""Tests the load generator from outside, and writes what came out as a table.

usage: python3 scripts/trust FOLDER-OF-OUR-PROGRAMS [--form full|quick] [--only ENTRY]... [--out FOLDER]

`make trust` runs it. The data is kept in FOLDER/trust.json and the table in FOLDER/trust.md; an entry that is run alone
replaces its own rows. Other generators are found in PATH, or by the variables WRK, WRK2 and OHA. Exit code 1: something
was missed.
"""

import argparse
import dataclasses
import datetime
import json
import os
import platform
import signal
import sys
import tempfile
import time

import entries
from programs import Programs

HEAD = """# The load generator, tested from outside

What `loadtest` says of systems of which more is known than it is told: identical ones, ones that are slower by a known
amount, a distribution that the server itself recorded, a freeze, an overload; and what other load generators say of the
same. `make trust` renews this page ({form} form); `make trust ONLY=freeze` does so for one entry. A result that was not
the wanted one stays here as MISSED.

"""


def arguments():
    parser = argparse.ArgumentParser(prog="trust", description=__doc__)
    parser.add_argument("programs")
    parser.add_argument("--form", choices=("full", "quick"), default="full")
    parser.add_argument("--only", action="append", choices=entries.ENTRIES, default=[])
    parser.add_argument("--out", default="docs")
    return parser.parse_args()


def machine():
    """Enough to judge the figures."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    # What stands behind the version may name a machine or its owner.
    kernel = platform.release().split("-")[0]
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()} {kernel}"


def measure(entry, programs, form):
    """The rows of one entry; its failure is a row too."""
    began = time.monotonic()
    try:
        rows = list(entry(programs, form))
    except Exception as error:  # The other entries still have something to tell.
        rows = [entries.Row(entry.__name__, "", "", f"not done: {error}", False, [])]
    return {
        "measured_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "machine": machine(),
        "rows": [dataclasses.asdict(row) for row in rows],
    }


def outcome(row):
    return {True: "ok", False: "MISSED", None: "not tried"}[row["ok"]]


def page(form, measured):
    lines = [HEAD.format(form=form), "| tried | settings | wanted | came out | |\n", "| --- | --- | --- | --- | --- |\n"]
    for entry in measured.values():
        for row in entry["rows"]:
            cells = [row["tried"], row["settings"], row["wanted"], row["came"], outcome(row)]
            # A failure's message may have lines of its own.
            lines.append(f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |\n")
    seconds = ", ".join(f"{name} {entry['seconds']} s" for name, entry in measured.items())
    machines = "; ".join(dict.fromkeys(entry["machine"] for entry in measured.values()))
    dates = sorted(entry["measured_at"][:10] for entry in measured.values())
    lines.append(f"\n{machines}. {dates[0]} to {dates[-1]}. {seconds}.\n")
    return "".join(lines)


def main():
    # So that what was started is ended on SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    asked = arguments()
    form = {"full": entries.FULL, "quick": entries.QUICK}[asked.form]
    os.makedirs(asked.out, exist_ok=True)
    data = os.path.join(asked.out, "trust.json")
    before = {}
    if asked.only and os.path.exists(data):
        with open(data) as file:
            before = json.load(file)
    measured, missed = {}, False
    with tempfile.TemporaryDirectory() as work:
        programs = Programs(asked.programs, work)
        for name, (entry, count) in entries.ENTRIES.items():
            if asked.only and name not in asked.only:
                if name in before:
                    measured[name] = before[name]
                continue
            if getattr(form, count) == 0:
                continue
            measured[name] = measure(entry, programs, form)
            for row in measured[name]["rows"]:
                missed = missed or row["ok"] is False
                print(f"{outcome(row):9} {row['tried']}: {row['came']} ({measured[name]['seconds']} s)", flush=True)
            with open(data, "w") as file:
                json.dump({**before, **measured}, file, indent=1)
    with open(os.path.join(asked.out, "trust.md"), "w") as file:
        file.write(page(asked.form, measured))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
