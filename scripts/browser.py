#!/usr/bin/env python3
"""Logs in with a real browser at the page of the auth-service: authorization code with PKCE, as a person would.

usage: browser.py FOLDER-OF-OUR-PROGRAMS [SCREENSHOT.png]; needs redis-server, chromium and chromedriver.
`make browser` runs it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from chromium import browser

NAME = "ada"
PASSWORD = "correct horse battery staple"
PATIENCE = 60
checks = 0


def check(right, what):
    """Counts a check, and ends the program at the first that fails."""
    global checks
    checks += 1
    if not right:
        sys.exit(f"browser: {what}")


@contextlib.contextmanager
def system(programs, folder):
    """A whole system of our own on free ports; gives the URL of its gateway."""
    ready = os.path.join(folder, "ready.json")
    command = [os.path.join(programs, "loadtest"), "stack", "up", "--strategy", "jwt", "--ready-file", ready]
    with open(os.path.join(folder, "stack.log"), "w+") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + PATIENCE
            while not os.path.exists(ready):
                if child.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"browser: the system is not ready:\n{log.read()}")
                time.sleep(0.05)
            with open(ready) as file:
                yield json.load(file)["gateway"]
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()


def register(gateway):
    body = json.dumps({"username": NAME, "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{gateway}/auth/register", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        check(answer.status == 201, "a user is registered")


def walk(driver, gateway, screenshot):
    """From the first look at the page to the logout, with one wrong password."""
    page = f"{gateway}/auth/page"

    def wait(so, what):
        WebDriverWait(driver, PATIENCE).until(lambda _: so(), f"never: {what}")
        check(True, what)

    def element(identity):
        return driver.find_element(By.ID, identity)

    def log():
        return [item.text for item in driver.find_elements(By.CSS_SELECTOR, "#log li")]

    def said(text):
        wait(lambda: any(text in item for item in log()), text)

    def submit(password):
        driver.find_element(By.NAME, "username").clear()
        driver.find_element(By.NAME, "username").send_keys(NAME)
        driver.find_element(By.NAME, "password").send_keys(password)
        driver.find_element(By.TAG_NAME, "button").click()

    # Somebody brings a code that the page did not ask for.
    driver.get(f"{page}?code=stolen&state=x&iss={gateway}/auth")
    said("did not ask for")
    check(element("claims").text == "none", "a code that was not asked for gives no token")

    driver.get(page)
    wait(lambda: element("login").is_enabled(), "the page is ready")
    element("login").click()
    wait(lambda: driver.title == "Log in", "the form is shown")
    submit("a wrong password")
    wait(lambda: "is wrong" in driver.page_source, "a wrong password is told")
    check(driver.find_element(By.NAME, "username").get_attribute("value") == NAME, "the name is still there")
    submit(PASSWORD)
    said("Logged in")
    check(driver.current_url == page, f"the code is gone from the address: {driver.current_url}")
    claims = json.loads(element("claims").text)
    check(claims["client_id"] == "statewise-page" and claims["preferred_username"] == NAME, f"the claims: {claims}")

    driver.find_element(By.CSS_SELECTOR, "#call button").click()
    said("GET /jwt/me was answered 200")
    check(any(f'"{NAME}"' in item for item in log()), "the api-service knows the user")
    before = element("claims").text
    element("renew").click()
    said("Renewed")
    check(element("claims").text != before, "renewing gives another token")
    kept = driver.execute_script("return JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
    check(kept == '[{},{},""]', f"nothing is kept outside the page's memory: {kept}")
    if screenshot:
        driver.save_screenshot(screenshot)

    element("logout").click()
    said("Logged out")
    check(element("claims").text == "none" and element("login").is_enabled(), "the page has no token any more")

    # Whatever broke the content security policy, or the script, is here; the wrong password is ours.
    faults = [entry["message"] for entry in driver.get_log("browser") if "status of 401" not in entry["message"]]
    check(not faults, f"the browser complains: {faults}")


def main():
    programs = sys.argv[1]
    screenshot = sys.argv[2] if len(sys.argv) > 2 else None
    for program in ("chromium", "chromedriver", "redis-server"):
        if shutil.which(program) is None:
            sys.exit(f"browser: {program} is missing")
    with tempfile.TemporaryDirectory() as folder, system(programs, folder) as gateway:
        register(gateway)
        with browser(folder, "900,1300") as driver:
            walk(driver, gateway, screenshot)
    print(f"browser: {checks} checks, all passed")


main()
