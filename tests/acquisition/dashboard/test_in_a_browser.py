"""The page in a real browser: it follows a virtual night, a bad token does nothing, a good one stops the run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_visit import TOKEN

from knightshift import configs
from knightshift.core.journal import JournalWriter
from knightshift.core.run_folder import JOURNAL

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("KNIGHTSHIFT_CHROMIUM") or shutil.which("chromium")
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)<"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install Debian's package `chromium`"),
]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "knightshift.cli", *map(str, arguments)]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Path]:
    """A folder in which the overnight protocol is being acquired on the virtual clock, and a hostile run beside it."""
    runs, protocol = tmp_path / "runs", tmp_path / "long_night.yaml"
    text = (Path(configs.__file__).parent / "protocols" / "overnight_t2.yaml").read_text()
    assert 'duration: "11.5 h"' in text
    protocol.write_text(text.replace('duration: "11.5 h"', 'duration: "90 h"'))  # longer than this test on any machine
    arguments = ("acquire", protocol, "--runs", runs, "--virtual-clock", "--seed", 1)
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(runs.glob("[!.]*/passes/*.h5")):
            assert time.monotonic() < deadline, "no pass in a minute"
            time.sleep(0.2)
        (path,) = runs.glob("[!.]*")
        copy = runs / _HOSTILE
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns("run.lock", "*.part"))
        with JournalWriter(copy / JOURNAL) as journal:
            now = time.time()
            journal.append(now, "suspended", **{"pass": 1, "time_s": now, "reason": _HOSTILE, "readings": {}})
            journal.append(now, _HOSTILE, reason=_HOSTILE)
        yield path
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.fixture
def address(night: Path) -> Iterator[str]:
    environment = os.environ | {"KNIGHTSHIFT_DASHBOARD_TOKEN": TOKEN}
    arguments = command("dashboard", "--runs", night.parent, "--port", 0, "--actions")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The page, signed in; anything that the browser complains about fails the test."""
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append("a script of a name has run"), dialog.dismiss()))
        tab.on(
            "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
        )
        tab.goto(address)
        yield tab
        browser.close()
    assert not complaints


def passes(page: Any) -> int:
    return int(page.text_content("#pass-count").split()[0])


def wait_for_passes(page: Any, count: int) -> None:
    look = "count => parseInt(document.getElementById('pass-count').textContent) >= count"
    page.wait_for_function(look, arg=count, timeout=90_000)


def test_the_page_follows_a_virtual_night_and_stops_it(page: Any, night: Path) -> None:
    expect = sync_api.expect
    expect(page.locator("#state")).to_have_text("acquiring", timeout=30_000)
    assert "token" not in page.url
    wait_for_passes(page, passes(page) + 20)
    picture = page.wait_for_selector("#pictures img[alt='t2_map.png']", timeout=240_000)
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
    assert page.locator("#curves canvas").count() >= 2
    assert page.locator("#journal tr").count() > 20
    page.fill("#token", "wrong")
    page.click("#stop")
    expect(page.locator("#answer")).to_contain_text("wrong")
    wait_for_passes(page, passes(page) + 5)
    page.fill("#token", TOKEN)
    page.click("#stop")
    expect(page.locator("#state")).to_have_text("stopped", timeout=60_000)
    expect(page.locator("#words")).to_have_text("the live page")
    assert passes(page) > 0
    page.select_option("#runs", _HOSTILE)
    expect(page.locator("#run-name")).to_contain_text("onerror")
    expect(page.locator("#journal")).to_contain_text(f"reason {_HOSTILE}")
    expect(page.locator("#alarms")).to_contain_text(_HOSTILE)
    assert page.locator("main script, #run-name img, #runs img, #journal img, #alarms img").count() == 0


def test_a_stranger_sees_nothing(address: str, night: Path) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        tab = browser.new_page()
        answer = tab.goto(address.partition("?")[0])
        assert answer.status == 401
        assert night.name not in tab.content()
        browser.close()
