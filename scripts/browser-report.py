#!/usr/bin/env python3
"""Holds the controls of report.html to `loadtest capacity`: the same question has the same answer in a real browser.

usage: browser-report.py FOLDER-OF-OUR-PROGRAMS [FOLDER-FOR-SCREENSHOTS]; needs chromium and chromedriver.
`make browser` runs it. The figures are those of docs/example, for all strategies: what is compared is calculation.
"""

import base64
import copy
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from chromium import browser

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs/example/results.json")
# Strategies of the example, and those that are made of them with other processor times.
ARMS = {
    "jwt": ("jwt", 1.0),
    "session": ("session", 1.0),
    "jwt-remembered": ("jwt", 0.4),
    "session-cached": ("session", 0.6),
    "jwt-revocable": ("jwt", 1.02),
    "introspection": ("session", 2.0),
    "phantom": ("jwt", 0.97),
}
QUESTIONS = 80
checks = 0


def check(right, what):
    """Counts a check, and ends the program at the first that fails."""
    global checks
    checks += 1
    if not right:
        sys.exit(f"browser-report: {what}")


def results_of_all(path):
    """The example with more strategies."""
    with open(EXAMPLE) as file:
        example = json.load(file)
    arms = {arm["name"]: arm for arm in example["plan"]["arms"]}
    points = [point for point in example["points"] if point["arm"] in arms]
    example["points"], example["plan"]["arms"] = [], []
    for name, (of, factor) in ARMS.items():
        example["plan"]["arms"].append({**arms[of], "name": name, "strategy": name})
        for point in points:
            if point["arm"] == of:
                made = copy.deepcopy(point)
                made["arm"] = name
                for metric, estimate in made["metrics"].items():
                    if metric.startswith("cpu_"):
                        for end in ("value", "low", "high"):
                            estimate[end] *= factor
                example["points"].append(made)
    # As a comparison of this version measures them, with wide intervals.
    example["unit_costs"] = {"logins": 40, "renewals": 400, **{
        name: {"value": value, "low": value * 0.8, "high": value * 1.3, "supported": True}
        for name, value in (("session_bytes", 728), ("login_cpu_us", 26_000), ("renewal_cpu_us", 1_000),
                            ("exchange_cpu_us", 700), ("key_set_bytes", 462))}}
    with open(path, "w") as file:
        json.dump(example, file)


# What the page shows, in one look.
SHOWN = """
const text = (what) => document.querySelector(`#capacity [data-said="${what}"]`).textContent;
return {
  left: text("left"),
  fewest: text("fewest"),
  command: document.querySelector("#capacity .command code").textContent,
  strategies: [...document.querySelectorAll("#capacity .take")].map((take) => ({
    name: take.querySelector(".name").textContent,
    costs: take.querySelector("[data-said='costs']").textContent,
    beyond: take.querySelector("[data-said='beyond']").textContent,
    out: take.classList.contains("out"),
    figures: Object.fromEntries(
      [...document.querySelectorAll(`#capacity td[data-strategy="${take.dataset.strategy}"][data-figure]`)]
        .map((cell) => [cell.dataset.figure, ["value", "low", "high"].map((end) => Number(cell.dataset[end]))])),
  })),
};
"""
SET = """
for (const [id, value] of Object.entries(arguments[0])) {
  const field = document.querySelector(`#capacity [data-input="${id}"]`);
  if (field.type === "checkbox") field.checked = value !== "0"; else field.value = value;
  field.dispatchEvent(new Event("change", { bubbles: true }));
}
"""


def question(rng):
    """Something to ask, as a reader would type it; half of the inputs as they are."""

    def between(low, high):
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    def seconds(low, high):
        return f"{round(between(low, high) * 1000)}ms"

    asked = {
        "rate": f"{between(100, 1e8):.2f}",
        "active_users": f"{between(100, 1e9):.0f}",
        "rtt_ms": f"{between(0.01, 200):.3f} ms",
        "token_life": seconds(1, 86_400),
        "logout_within": rng.choice(["any time", seconds(0.01, 3_600)]),
        "replicas": rng.choice(["as needed", f"{between(1, 10_000):.0f}"]),
        "must_answer": rng.choice(["0", "1"]),
        "utilisation": f"{between(0.05, 1) * 100:.1f} %",
        "cache_entries": f"{between(10, 1e7):.0f}",
        "login_every": seconds(60, 2_592_000),
        "shard_memory": f"{between(1, 1_000):.2f} GB",
        "shard_network": f"{between(0.01, 100):.2f} Gbit/s",
    }
    return {name: value for name, value in asked.items() if rng.random() < 0.6}


def close(one, other):
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def compare(driver, programs, results):
    """The page's answer against that of the command which the page gives."""
    shown = driver.execute_script(SHOWN)
    words = shown["command"].split()
    check(words[:3] == ["loadtest", "capacity", "results.json"], shown["command"])
    command = [os.path.join(programs, "loadtest"), "capacity", results, *words[3:], "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    # 4: the example's figures are sound, and one of its headlines is unclear.
    check(ended.returncode in (0, 4), f"{command}: {ended.stderr}")
    answer = json.loads(ended.stdout)["answers"][0]
    told = f"in answer to {shown['command']}"
    for said in ("left", "fewest"):
        check(shown[said] == answer[said], f"{said} {told}:\n{shown[said]}\n{answer[said]}")
    check(len(shown["strategies"]) == len(answer["strategies"]), f"strategies {told}")
    for page, own in zip(shown["strategies"], answer["strategies"], strict=True):
        of = f"of {own['name']} {told}"
        check(page["name"] == own["name"], f"the name {of}")
        check(page["out"] == bool(own["out"]), f"whether it is out {of}")
        costs = f"Out: {'; and '.join(own['out'])}." if own["out"] else f"{own['costs']}."
        check(page["costs"] == costs, f"the words {of}:\n{page['costs']}\n{costs}")
        check(page["beyond"] == own["beyond"], f"what lies beyond {of}:\n{page['beyond']}\n{own['beyond']}")
        check(len(page["figures"]) > 15, f"the figures {of}")
        for name, ends in page["figures"].items():
            wanted = [own["figures"][name][end] for end in ("value", "low", "high")]
            check(all(map(close, ends, wanted)), f"{name} {of}: {ends}, {wanted}")
    return shown


def answers_are_equal(driver, programs, results, page):
    driver.get(page)
    # Before anything was moved, the page is as the program wrote it.
    compare(driver, programs, results)
    rng = random.Random(20)
    seen = set()
    for _ in range(QUESTIONS):
        driver.get("about:blank")
        driver.get(page)
        driver.execute_script(SET, question(rng))
        seen.add(compare(driver, programs, results)["left"].rsplit(", ", 1)[-1])
    check(len(seen) > 5, f"the questions have different answers: {seen}")


def keyboard_is_enough(driver, programs, results, page):
    driver.get("about:blank")
    driver.get(page)

    def field(kind, name):
        return driver.find_element(By.CSS_SELECTOR, f"#capacity [data-{kind}='{name}']")

    before = driver.execute_script(SHOWN)
    field("slider", "rate").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    after = compare(driver, programs, results)
    check(after["left"] != before["left"] and "500,000/s" in after["left"], f"a slider moves: {after['left']}")
    check(field("input", "rate").get_attribute("value") == "500,000/s", "the field follows the slider")
    check(field("slider", "rate").get_attribute("aria-valuetext") == "500,000/s", "and what is read aloud")

    users = field("input", "active_users")
    users.send_keys(Keys.CONTROL, "a")
    users.send_keys("2.5M", Keys.TAB)
    check("2,500,000 active users" in compare(driver, programs, results)["left"], "a field is typed into")
    check(driver.switch_to.active_element.get_attribute("data-slider") == "active_users", "tab goes to its slider")
    users.send_keys(Keys.CONTROL, "a")
    users.send_keys("many", Keys.TAB)
    check(users.get_attribute("aria-invalid") == "true", "nonsense is marked")
    check("2,500,000 active users" in driver.execute_script(SHOWN)["left"], "and changes nothing")

    field("input", "must_answer").send_keys(Keys.SPACE)
    check("answers without Redis" in compare(driver, programs, results)["left"], "a switch is switched")
    driver.find_element(By.CSS_SELECTOR, "#capacity .further summary").send_keys(Keys.ENTER)
    check(field("input", "utilisation").is_displayed(), "what is further down opens")

    # The address has what was asked, for whoever gets the link.
    address = driver.current_url
    driver.get("about:blank")
    driver.get(address)
    again = compare(driver, programs, results)
    check("2,500,000 active users" in again["left"] and "answers without Redis" in again["left"], address)


def fits_and_loads_nothing(driver, page, screenshots):
    for width, name in ((390, "narrow"), (1100, "wide")):
        for scheme in ("light", "dark"):
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
                "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
                "features": [{"name": "prefers-color-scheme", "value": scheme}]})
            driver.get("about:blank")
            driver.get(page)
            wide = driver.execute_script(
                "return document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
            check(wide <= 0, f"at {width} px the page is {wide} px too wide")
            fetched = driver.execute_script("return performance.getEntriesByType('resource').length")
            check(fetched == 0, f"{fetched} things are loaded")
            if screenshots:
                section = driver.find_element(By.ID, "capacity")
                box = section.rect
                picture = driver.execute_cdp_cmd("Page.captureScreenshot", {
                    "captureBeyondViewport": True,
                    "clip": {"x": 0, "y": box["y"] - 50, "width": width, "height": box["height"] + 60, "scale": 1}})
                with open(os.path.join(screenshots, f"capacity-{name}-{scheme}.png"), "wb") as file:
                    file.write(base64.b64decode(picture["data"]))
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    check(base64.b64decode(printed["data"]).startswith(b"%PDF"), "it can be printed")
    if screenshots:
        with open(os.path.join(screenshots, "report.pdf"), "wb") as file:
            file.write(base64.b64decode(printed["data"]))


def main():
    programs = sys.argv[1]
    screenshots = sys.argv[2] if len(sys.argv) > 2 else None
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            sys.exit(f"browser-report: {program} is missing")
    with tempfile.TemporaryDirectory() as folder:
        results = os.path.join(folder, "results.json")
        results_of_all(results)
        report = [os.path.join(programs, "loadtest"), "report", results, "--out", folder]
        subprocess.run(report, stdout=subprocess.DEVNULL, check=False)
        page = f"file://{folder}/report.html"
        with browser(folder, "1100,1400") as driver:
            driver.execute_cdp_cmd("Network.enable", {})
            driver.execute_cdp_cmd("Network.emulateNetworkConditions", {
                "offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})
            fits_and_loads_nothing(driver, page, screenshots)
            keyboard_is_enough(driver, programs, results, page)
            answers_are_equal(driver, programs, results, page)
            faults = [entry["message"] for entry in driver.get_log("browser")]
            check(not faults, f"the browser complains: {faults}")
    print(f"browser-report: {checks} checks, all passed")


main()
