#!/usr/bin/env python3
"""Draws docs/example/strategies.svg, the picture of the README, from what docs/example/ holds.

strategies.txt gives the processor time of each part, the median and what is answered in a fault; freshness.txt the time
until a logout is seen. scripts/renew-example.sh runs it after both were measured anew.

    scripts/picture.py > docs/example/strategies.svg
"""

import re
import sys
from html import escape
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "example"
PARTS = ["gateway", "api", "redis", "auth"]
LABELS = {"gateway": "gateway", "api": "API", "redis": "Redis", "auth": "auth-service"}
COLOURS = {"gateway": "#8da2b8", "api": "#2f6f9f", "redis": "#c2553f", "auth": "#d9a441"}
MICROSECONDS = {"µs": 1, "ms": 1_000, "s": 1_000_000}


def cells(line):
    """The cells of a line of a table: two spaces or more are between two of them."""
    return re.split(r"\s{2,}", line.strip())


def microseconds(cell):
    number, unit = cell.strip("()").split()
    return float(number) * MICROSECONDS[unit]


def rows_below(lines, start):
    """The rows of the table whose head is line `start`, which a rule follows."""
    for line in lines[start + 2 :]:
        if not line.strip() or line.startswith("↑"):
            return
        yield cells(line)


def read_costs(lines):
    """Of the highest load: its title, the processor times of each strategy, and its median."""
    heads = [number for number, line in enumerate(lines) if line.rstrip().endswith("CPU generator")]
    start = heads[-1]
    title, *columns = cells(lines[start])
    costs = {}
    for name, *values in rows_below(lines, start):
        times = dict(zip(columns, values))
        costs[name] = {part: microseconds(times[f"CPU {part}"]) for part in PARTS}
    medians = {}
    for number, line in enumerate(lines):
        head = cells(line)
        if head[0] == title and "p50" in head[1:]:
            place = head.index("p50")
            medians.update({row[0]: row[place] for row in rows_below(lines, number)})
    return title, costs, medians


def read_faults(lines):
    """What share of its requests each strategy answered in each fault; a wide table is in several parts."""
    begin = next(number for number, line in enumerate(lines) if line.startswith("Available in the fault"))
    end = next(number for number, line in enumerate(lines) if line.startswith("Good again"))
    shares = {}
    for number in range(begin, end):
        if lines[number].startswith("───"):
            names = cells(lines[number - 1])
            for fault, *values in rows_below(lines, number - 1):
                for name, value in zip(names, values):
                    shares.setdefault(fault, {})[name] = value.rstrip("!")
    return shares


def read_lags(lines):
    """The 99th percentile of the time for which a logged out credential was accepted."""
    start = next(number for number, line in enumerate(lines) if line.startswith("logout"))
    lags = {}
    for row in rows_below(lines, start):
        if len(row) < 6:
            break
        lags[row[0]] = "at once" if row[4] == "0" else row[4]
    return lags


class Drawing:
    """Lines of an SVG document."""

    def __init__(self, width, height):
        self.lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="system-ui, sans-serif" font-size="13">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]

    def text(self, x, y, text, anchor="start", fill="#1c2733", size=13, weight="normal"):
        self.lines.append(
            f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}" '
            f'font-weight="{weight}">{escape(text)}</text>'
        )

    def bar(self, x, y, width, height, fill):
        self.lines.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{fill}"/>')

    def end(self):
        return "\n".join([*self.lines, "</svg>"])


def draw(title, costs, medians, faults, lags, life, outage):
    row, top, left, full = 27, 96, 212, 290
    columns = [("median", 605), ("logout seen", 690), ("Redis killed", 780), ("auth killed", 870)]
    height = top + row * len(costs) + 44
    drawing = Drawing(890, height)
    most = max(sum(parts.values()) for parts in costs.values())
    drawing.text(14, 26, "What one request costs, and what the strategy is coupled to", size=17, weight="600")
    drawing.text(14, 47, f"CPU time of the whole system per request, at {title}", fill="#5b6875")
    x = left
    for part in PARTS:
        drawing.bar(x, 64, 11, 11, COLOURS[part])
        drawing.text(x + 16, 74, LABELS[part], size=12)
        x += 30 + 7.5 * len(LABELS[part])
    for label, x in columns:
        drawing.text(x, 74, label, "end", "#5b6875", 12)
    for number, (name, parts) in enumerate(costs.items()):
        y = top + row * number
        drawing.text(14, y + 13, name, weight="600")
        x = left
        for part in PARTS:
            width = parts[part] / most * full
            drawing.bar(x, y, width, 17, COLOURS[part])
            x += width
        drawing.text(x + 6, y + 13, f"{sum(parts.values()):.0f} µs", size=12)
        figures = [medians.get(name, "–"), lags.get(name, "–")]
        figures += [faults.get(fault, {}).get(name, "–") for fault in ("Redis killed", "Auth service killed")]
        for (_, x), figure in zip(columns, figures):
            late = figure.startswith("0") and "%" in figure or re.fullmatch(r"[\d.]+ s", figure)
            drawing.text(x, y + 13, figure, "end", "#b03a2e" if late else "#1c2733")
    foot = f"logout seen: p99 of the time for which a token or id was still accepted{life}"
    drawing.text(14, height - 28, foot, fill="#5b6875", size=12)
    foot = (
        f"killed for {outage}: share answered well meanwhile (after 5 s jwt-revocable is 503, after 10 s phantom). "
        "Intervals: docs/results.md"
    )
    drawing.text(14, height - 11, foot, fill="#5b6875", size=12)
    return drawing.end()


def main():
    strategies = (EXAMPLE / "strategies.txt").read_text(encoding="utf-8").splitlines()
    freshness = (EXAMPLE / "freshness.txt").read_text(encoding="utf-8").splitlines()
    life = re.search(r"expiry of the token: life ([\d.]+ \S+?),", "\n".join(freshness))
    life = f"; tokens live {life[1]} here, 15 min by default" if life else ""
    # As in "300 requests/s each, 1 × 1.50 s; good: …".
    outage = re.search(r"requests/s each, \d+ × ([\d.]+ \S+?);", "\n".join(strategies))[1]
    print(draw(*read_costs(strategies), read_faults(strategies), read_lags(freshness), life, outage))


if __name__ == "__main__":
    sys.exit(main())
