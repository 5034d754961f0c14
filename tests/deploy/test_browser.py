"""The service's page in a real browser."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_process import CLASS_NAMES, PALETTE, ServingProcess, encoded, picture, strongest, write_model

pytest.importorskip("selenium", reason="needs selenium: pip install selenium")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
    "window-size=1000,900",
)
DROP = """
const [data, name] = arguments;
const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name));
const options = {bubbles: true, cancelable: true, dataTransfer: transfer};
document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
"""
PIXELS = """
const image = document.getElementById("overlay");
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
const context = canvas.getContext("2d");
context.drawImage(image, 0, 0);
const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
return [canvas.width, canvas.height, Array.from(data)];
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("page")
    with ServingProcess(write_model(folder / "strongest"), folder / "log.txt") as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(programs[1])))
    yield driver
    driver.quit()


@pytest.fixture
def page(service: ServingProcess, chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The page; afterwards, whether it asked anybody else for anything, or complained."""
    chromium.get_log("performance")
    chromium.get(f"{service.url}/")
    yield chromium
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"].startswith(service.url)  # not the browser's start page
    ]
    assert f"{service.url}/" in asked
    assert [url for url in asked if not url.startswith((f"{service.url}/", "data:"))] == []


def complaints(page: webdriver.Chrome) -> list[str]:
    return [entry["message"] for entry in page.get_log("browser")]


def wait_for(page: webdriver.Chrome, element: str) -> None:
    WebDriverWait(page, 20).until(lambda page: page.find_element(By.ID, element).is_displayed())


def check_overlay(page: webdriver.Chrome, image: np.ndarray[Any, Any]) -> None:
    width, height, data = page.execute_script(PIXELS)
    shown = np.array(data).reshape(height, width, 4)[..., :3]
    assert shown.shape == image.shape
    expected = 0.6 * image + 0.4 * np.array(PALETTE)[strongest(image)]
    assert np.abs(shown - expected).max() <= 0.5001  # rounded to whole numbers


def legend(page: webdriver.Chrome) -> dict[str, str]:
    rows = page.find_elements(By.CSS_SELECTOR, "#legend tr")
    cells = [row.find_elements(By.TAG_NAME, "td") for row in rows]
    return {one[1].text: one[2].text for one in cells}


def test_a_chosen_image(page: webdriver.Chrome, tmp_path: Path) -> None:
    image = picture(5)
    (tmp_path / "street.png").write_bytes(encoded(image))
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "street.png"))
    wait_for(page, "result")
    check_overlay(page, image)
    counts = np.bincount(strongest(image).ravel())
    expected = {CLASS_NAMES[c]: f"{100 * counts[c] / (48 * 64):.2f} %" for c in np.argsort(-counts)}
    assert legend(page) == expected
    assert list(legend(page)) == list(expected)  # the largest first
    assert "street.png: 64×48 pixels" in page.find_element(By.ID, "caption").text
    assert page.find_element(By.ID, "overlay").get_attribute("alt").startswith("street.png")
    assert complaints(page) == []


def test_a_dropped_image(page: webdriver.Chrome) -> None:
    image = picture(6, height=90, width=30)
    page.execute_script(DROP, base64.b64encode(encoded(image)).decode(), "drop.png")
    wait_for(page, "result")
    check_overlay(page, image)
    assert complaints(page) == []


def test_a_file_that_is_no_image(page: webdriver.Chrome) -> None:
    page.execute_script(DROP, base64.b64encode(b"hello").decode(), "<i>notes</i>.txt")
    wait_for(page, "error")
    message = "<i>notes</i>.txt: not a PNG, JPEG, BMP, TIFF or WebP image"
    assert page.find_element(By.ID, "error").text == message
    assert not page.find_element(By.ID, "result").is_displayed()
    assert all("415" in one for one in complaints(page))  # Chromium itself notes the status
    page.execute_script(DROP, base64.b64encode(encoded(picture(7))).decode(), "next.png")
    wait_for(page, "result")
    assert not page.find_element(By.ID, "error").is_displayed()


def test_every_control_has_a_label(page: webdriver.Chrome) -> None:
    for control in page.find_elements(By.CSS_SELECTOR, "input, button, select"):
        assert control.accessible_name
    assert page.find_element(By.ID, "error").get_attribute("role") == "alert"
    assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


def test_description_of_the_interface(service: ServingProcess, page: webdriver.Chrome) -> None:
    page.find_element(By.LINK_TEXT, "HTTP interface").click()
    WebDriverWait(page, 20).until(lambda page: page.find_elements(By.TAG_NAME, "h2"))
    titles = [title.text for title in page.find_elements(By.TAG_NAME, "h2")]
    assert titles == ["POST /predict", "GET /health", "GET /ready", "GET /metrics"]
    assert complaints(page) == []
