"""A real browser without a window, for the scripts that look at our pages; needs chromium and chromedriver."""

import contextlib
import shutil

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@contextlib.contextmanager
def browser(folder, size):
    """Its profile is in the folder, its window so large, such as 900,1300."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    # Containers have neither the namespaces of the sandbox nor a large /dev/shm; the pages are our own.
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={size}"):
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={folder}/profile")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
