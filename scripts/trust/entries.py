"""What is tried. Each entry yields rows: what was tried, with which settings, what was wanted, what came out."""

import collections
import dataclasses
import math
import random
import statistics

from programs import busy_loops, credentials, frozen, halting


@dataclasses.dataclass
class Row:
    """One line of the table. `ok` is None where it could not be tried."""

    tried: str
    settings: str
    wanted: str
    came: str
    ok: bool | None
    data: list


@dataclasses.dataclass
class Form:
    """How often each thing is done."""

    identical: int
    delay_5: int
    delay_1: int
    known: int
    known_seconds: int
    freezes: int
    starved: int
    overloaded: int
    # Rounds against other generators; 0: left out.
    rounds: int


FULL = Form(40, 20, 10, 3, 20, 3, 5, 3, 5)
# As much as fits into four minutes.
QUICK = Form(2, 2, 1, 1, 10, 1, 1, 1, 0)

P50 = "response_time_p50"
# 0.8 s each: 11,200 requests of each arm in 7 blocks, so that a p99 has the hundred requests above it that it needs.
RATE = 2_000
WINDOWS = "7 blocks with a window of 0.8 s for each arm and for the baseline once more"


def headline(results):
    """The headline rows, which are one family for Holm's procedure."""
    keys = ("metric", "candidate", "ratio", "ci_low", "ci_high", "detectable_ratio", "verdict", "supported")
    return [{key: row[key] for key in keys} for row in results["comparisons"] if row["headline"]]


def told(results):
    failed = [gate["name"] for gate in results["gates"] if not gate["passed"]]
    return {"validity": results["validity"], "failed_gates": failed, "headline": headline(results)}


def tally(words):
    return ", ".join(f"{word} {count}" for word, count in collections.Counter(words).most_common())


def called(runs, word):
    """Whether each run was called so. None where the machine itself was busy, which comes before all else."""
    wrong = [run for run in runs if run["validity"] != word]
    others = {"load_by_others_at_start", "load_by_others", "steal"}
    busy = all(run["validity"] == "DISTURBED" and others & {*run["failed_gates"]} for run in wrong)
    return (None if busy else False) if wrong else True


def identical(programs, form):
    """An A/A comparison: whatever is called different is none."""
    runs = []
    for seed in range(1, form.identical + 1):
        arms = ["--strategy", "jwt", "--strategy", "jwt"]
        runs.append(told(programs.compare(arms, RATE, seed)))
    different = [[row["metric"] for row in run["headline"] if row["verdict"] in ("higher", "lower")] for run in runs]
    count = sum(1 for metrics in different if metrics)
    # Of 40, 5; of 2, 1.
    most = max(1, form.identical // 8)
    rows = tally(metric for metrics in different for metric in metrics)
    yield Row(
        "identical arms",
        f"`compare --quick --strategy jwt --strategy jwt --rate {RATE}`, {WINDOWS}; a system of its own and another "
        "seed for each comparison",
        f"at most {most} of {form.identical} call any headline row different, after Holm",
        f"{count} of {form.identical} do{f' ({rows})' if rows else ''}; {tally(run['validity'] for run in runs)}",
        count <= most,
        runs,
    )


def delay(programs, count, percent):
    """Two targets of which one is slower by a known share."""
    base_ms = 5
    runs = []
    with programs.target([base_ms]) as a, programs.target([base_ms * (1 + percent / 100)]) as b:
        for seed in range(1, count + 1):
            runs.append(told(programs.compare([*a.arm("a"), *b.arm("b")], RATE, seed)))
        truth = b.took()["p50_us"] / a.took()["p50_us"]
    rows = [next(row for row in run["headline"] if row["metric"] == P50) for run in runs]
    ratios = [row["ratio"] for row in rows]
    settings = (
        f"`compare --quick --arm a=url=… --arm b=url=… --rate {RATE}`, {WINDOWS}; targets of {base_ms} ms and "
        f"{base_ms * (1 + percent / 100):g} ms, by their own record {truth:.4f} times"
    )
    measured = f"ratios {min(ratios):.4f} to {max(ratios):.4f}; {tally(run['validity'] for run in runs)}"
    return rows, settings, measured, runs


def delay_5(programs, form):
    """A difference that must be found."""
    rows, settings, measured, runs = delay(programs, form.delay_5, 5)
    found = sum(1 for row in rows if row["verdict"] == "higher")
    least = math.ceil(form.delay_5 * 0.9)
    yield Row(
        "one arm 5 % slower",
        settings,
        f"p50 called higher in at least {least} of {form.delay_5}",
        f"in {found} of {form.delay_5}; {measured}",
        found >= least,
        runs,
    )


def delay_1(programs, form):
    """A difference that may be too small: then the run must have said so."""
    rows, settings, measured, runs = delay(programs, form.delay_1, 1)
    found = [row["verdict"] == "higher" for row in rows]
    promised = [row["detectable_ratio"] <= 1.01 for row in rows]
    broken = sum(1 for row_found, row_promised in zip(found, promised) if row_promised and not row_found)
    detectable = [row["detectable_ratio"] for row in rows]
    yield Row(
        "one arm 1 % slower",
        settings,
        "of the runs that say that they detect 1 %, at most 1 in 5 does not (detectable: found by 4 of 5 such runs)",
        f"{sum(promised)} of {form.delay_1} say so, {broken} of them did not; found in {sum(found)}; detectable ratios "
        f"{min(detectable):.4f} to {max(detectable):.4f}; {measured}",
        broken * 5 <= sum(promised),
        runs,
    )


def lognormal(median_ms, sigma, count=1_000):
    """The quantiles of a lognormal distribution, in an order that is not theirs."""
    normal = statistics.NormalDist()
    delays = [median_ms * math.exp(sigma * normal.inv_cdf((turn + 0.5) / count)) for turn in range(count)]
    random.Random(1).shuffle(delays)
    return delays


KNOWN = {
    "lognormal, median 5 ms, σ 0.7": lognormal(5, 0.7),
    "85 % of 3 ms, 15 % of 20 ms": random.Random(1).sample([3.0] * 850 + [20.0] * 150, 1_000),
}


def known(programs, form):
    """Percentiles beside those that the target recorded of the same requests."""
    for name, delays in KNOWN.items():
        runs = []
        for seed in range(1, form.known + 1):
            with programs.target(delays) as target:
                measured = programs.run(target.url, form.known_seconds, "--rate", "500", "--seed", str(seed))
                took = target.took()
            runs.append([(measured["response_time"][p], took[p]) for p in ("p50_us", "p90_us", "p99_us")])
        off = [max((run[place] for run in runs), key=lambda pair: abs(pair[0] - pair[1])) for place in range(3)]
        close = all(abs(seen - true) <= max(10, 0.03 * true) for run in runs for seen, true in run)
        came = ", ".join(f"{p} {seen / true - 1:+.1%} ({seen - true:+.0f} µs)" for p, (seen, true) in zip(("p50", "p90", "p99"), off))
        yield Row(
            f"a known distribution: {name}",
            f"`run --rate 500 --duration {form.known_seconds}s`, {form.known} times; the delays in turn, and the truth "
            "is what the target records of each request from its reading to the writing of its answer",
            "p50, p90 and p99 within 3 % or 10 µs, loopback and waking up included",
            f"at worst {came}",
            close,
            runs,
        )


def share_above(latency, limit_us):
    """From the points of a distribution, with straight lines between them."""
    below = (0.0, 0.0)
    for point in latency["percentiles"]:
        at = (point["latency_us"], point["percentile"] / 100)
        if at[0] > limit_us:
            rise = (at[1] - below[1]) / (at[0] - below[0])
            return 1 - (below[1] + rise * (limit_us - below[0]))
        below = at
    return 0.0


def frozen_target(programs, form):
    """A target that stands still for a second: every request that was due in it waits for the rest of it."""
    rate, seconds = 500, 20
    runs, ok = [], True
    for _ in range(form.freezes):
        with programs.target() as target, frozen(target.child, 8, 1) as lasted:
            measured = programs.run(target.url, seconds, "--rate", str(rate), "--arrivals", "uniform")
        response, stood = measured["response_time"], lasted[0]
        # Of `rate` × `seconds` requests, those within x of the end of the freeze have waited for less than x: the
        # share of (stood - x) ÷ seconds has waited for longer.
        run = {
            "p99": (response["p99_us"] / 1e6, stood - 0.01 * seconds),
            "p99.9": (response["p99_9_us"] / 1e6, stood - 0.001 * seconds),
            "max": (response["max_us"] / 1e6, stood),
            "share above half of it": (share_above(response, stood / 2 * 1e6), stood / 2 / seconds),
        }
        good = sum(answer["count"] for answer in measured["answers"] if answer["status"] == 200)
        # The last of them may be due at the very end.
        answered = good == measured["requests"] >= rate * seconds - 1
        ok = ok and answered and all(abs(seen / true - 1) <= 0.03 for seen, true in run.values())
        runs.append(run)
    worst = {
        name: max((run[name] for run in runs), key=lambda pair: abs(pair[0] / pair[1] - 1)) for name in runs[0]
    }
    seen = ", ".join(f"{name} {seen:.4g} of {true:.4g}" for name, (seen, true) in worst.items())
    yield Row(
        "a freeze of 1 s",
        f"`run --rate {rate} --duration {seconds}s --arrivals uniform`, {form.freezes} times; the target is stopped by a "
        "signal for 1 s. A generator that waits for the answer before it sends the next request would send 32 requests "
        "into the freeze, 0.3 % of all, and p99 would not show it",
        "with F the true length and D the duration: p99 = F - D ÷ 100, p99.9 = F - D ÷ 1000, max = F, "
        "F ÷ 2D of the requests above F ÷ 2, each within 3 %; every request answered",
        f"at worst {seen} (s, or share)",
        ok,
        runs,
    )


def starved(programs, form):
    """A generator that does not get the time that it needs, and whose fault that is.

    A rate alone does not starve it: it keeps a schedule of millions a second, far beyond what any system answers.
    """
    seeds = range(1, form.starved + 1)
    with programs.target([5]) as target:
        arms = [*target.arm("a"), *target.arm("b")]
        halted = [told(programs.compare(arms, 500, seed, rounds=2, around=halting)) for seed in seeds]
    arms = ["--strategy", "jwt", "--strategy", "jwt"]
    disturbed = [told(programs.compare(arms, 1_000, seed, rounds=2, around=busy_loops)) for seed in seeds]
    for tried, settings, word, reason, runs in (
        (
            "a generator that is stopped half of the time",
            "`compare --rate 500` on a target of 5 ms; signals stop the process for 30 ms of each 60",
            "INVALID",
            "the instrument: nothing on the machine shows why it is late",
            halted,
        ),
        (
            "a generator beside busy loops",
            "`compare --rate 1000` of jwt and jwt; two busy loops for each processor",
            "DISTURBED",
            "the machine: the work of others keeps it, and the system, from running",
            disturbed,
        ),
    ):
        gates = tally(gate for run in runs for gate in run["failed_gates"])
        yield Row(
            tried,
            f"{settings}; {form.starved} times",
            f"refused each time as {word} ({reason})",
            f"{tally(run['validity'] for run in runs)}; failed: {gates}",
            called(runs, word),
            runs,
        )


def overloaded(programs, form):
    """More than the system can do, which is not the generator's fault."""
    with programs.stack("jwt") as gateway:
        closed = programs.run(f"{gateway}/jwt/me", 3, "--connections", "32", "--login", "jwt")
    rate = round(1.5 * closed["achieved_per_second"], -2)
    arms = ["--strategy", "jwt", "--strategy", "session"]
    runs = [told(programs.compare(arms, rate, seed, rounds=2)) for seed in range(1, form.overloaded + 1)]
    gates = tally(gate for run in runs for gate in run["failed_gates"])
    yield Row(
        "an overloaded system",
        f"`compare --rate {rate:.0f}` of jwt and session: 1.5 times what jwt answers in a closed loop",
        "OVERLOADED, exit code 4",
        f"{tally(run['validity'] for run in runs)}; failed: {gates}",
        called(runs, "OVERLOADED"),
        runs,
    )


def in_turns(rounds, generators):
    """What each gave, round by round; the order turns, so that a drift of the machine meets all alike."""
    given = {name: [] for name in generators}
    for turn in range(rounds):
        names = list(generators)
        for name in names if turn % 2 == 0 else reversed(names):
            given[name].append(generators[name]())
    return given


def closed_loop(programs, form):
    """As many requests per second as wrk gets from the same system on as many connections."""
    settings = f"32 connections, {form.rounds} rounds of 4 s each in turn, median"
    wanted = "requests per second within 5 %"
    if not programs.wrk:
        yield Row("closed loop beside wrk", settings, wanted, "not tried: wrk was not found", None, [])
        return
    with programs.stack("jwt", "session") as gateway:
        for strategy, header in credentials(gateway).items():
            url = f"{gateway}/{strategy}/me"
            given = in_turns(
                form.rounds,
                {
                    "wrk": lambda: programs.wrk_per_second(url, 32, 4, header),
                    "ours": lambda: programs.run(
                        url, 4, "--connections", "32", "--header", header, "--max-error-ratio", "0"
                    )["achieved_per_second"],
                },
            )
            ratio = statistics.median(given["ours"]) / statistics.median(given["wrk"])
            yield Row(
                f"closed loop beside wrk, {strategy}",
                settings,
                wanted,
                f"ours {statistics.median(given['ours']):,.0f}, wrk {statistics.median(given['wrk']):,.0f}: {ratio:.3f}",
                abs(ratio - 1) <= 0.05,
                [given],
            )


def open_loop(programs, form):
    """The percentiles that wrk2 and oha tell of the same target at the same rate."""
    # Slow enough that what the others add by their timers, up to a millisecond, is a small part; and wrk2 gives each
    # connection a schedule of its own, one request each 213 ms here, into which the slowest answer has to fit.
    delays, rate, connections, seconds = lognormal(30, 0.4), 300, 64, 10
    with programs.target(delays) as target:

        def ours():
            latency = programs.run(target.url, seconds, "--rate", str(rate), "--connections", str(connections))
            return [latency["response_time"][name] for name in ("p50_us", "p90_us", "p99_us")]

        others = {
            "wrk2": (programs.wrk2, lambda: programs.wrk2_percentiles(target.url, rate, connections, seconds)),
            "oha": (programs.oha, lambda: programs.oha_percentiles(target.url, rate, connections, seconds)),
        }
        found = {name: percentiles for name, (path, percentiles) in others.items() if path}
        given = in_turns(form.rounds, {"ours": ours, **found}) if found else {}
    medians = {name: [statistics.median(place) for place in zip(*runs)] for name, runs in given.items()}
    for name in others:
        came, ok = f"not tried: {name} was not found", None
        if name in found:
            pairs = list(zip(("p50", "p90", "p99"), medians["ours"], medians[name]))
            came = ", ".join(f"{p} {mine / 1e3:.2f} and {theirs / 1e3:.2f} ms: {mine / theirs:.3f}" for p, mine, theirs in pairs)
            ok = all(abs(mine / theirs - 1) <= 0.05 for _, mine, theirs in pairs)
        yield Row(
            f"open loop beside {name}",
            f"{rate}/s on {connections} connections, {form.rounds} rounds of {seconds} s each in turn, median; a target of "
            "lognormal latency, median 30 ms, σ 0.4",
            "p50, p90 and p99 within 5 %",
            came,
            ok,
            [given],
        )


# In the order of the table, with the attribute of the form that is 0 where it leaves the entry out.
ENTRIES = {
    "identical": (identical, "identical"),
    "delay-5": (delay_5, "delay_5"),
    "delay-1": (delay_1, "delay_1"),
    "known": (known, "known"),
    "freeze": (frozen_target, "freezes"),
    "starved": (starved, "starved"),
    "overloaded": (overloaded, "overloaded"),
    "closed-loop": (closed_loop, "rounds"),
    "open-loop": (open_loop, "rounds"),
}
