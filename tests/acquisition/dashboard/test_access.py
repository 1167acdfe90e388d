"""Only this computer, only with the token, only from the page's own origin; and nothing foreign in the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dashboard_visit import TOKEN, visit
from starlette.testclient import TestClient

from knightshift.acquisition import dashboard
from knightshift.acquisition.dashboard import DashboardSettings

_STATIC = Path(dashboard.__file__).parent / "static"


@pytest.fixture
def stranger(runs: Path) -> TestClient:
    return visit(DashboardSettings(runs, TOKEN, previews=False))


@pytest.mark.parametrize("path", ["/", "/api/overview", "/api/events", "/static/page.js", "/api/runs/x", "/nowhere"])
def test_without_token_nothing_is_seen(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "runs" not in answer.text


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", "é"])
def test_wrong_token_is_told_so(stranger: TestClient, wrong: str) -> None:
    assert stranger.get("/", params={"token": wrong}).status_code == 401
    assert stranger.get("/api/overview", headers={"Authorization": f"Bearer {wrong}".encode()}).status_code == 401


def test_the_printed_address_signs_in_and_takes_the_token_out_of_sight(runs: Path) -> None:
    with visit(DashboardSettings(runs, TOKEN, previews=False)) as client:
        answer = client.get("/", params={"token": TOKEN}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/").status_code == 200
        assert client.get("/api/overview").json()["runs"]


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 400),
        ("Host", "127.0.0.1.evil.example:8765", 400),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1:9999", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
    ],
)
def test_other_names_origins_and_sites_are_refused(visitor: TestClient, header: str, value: str, status: int) -> None:
    assert visitor.get("/api/overview", headers={header: value}).status_code == status
    sent = {header: value, "X-Knightshift-Token": TOKEN}
    assert visitor.post("/api/actions", headers=sent, content=b'{"action":"hold","job":1}').status_code == status


@pytest.mark.parametrize("name", ["localhost:1234", "127.0.0.1", "[::1]:8765"])
def test_a_tunnel_may_have_another_port(visitor: TestClient, name: str) -> None:
    assert visitor.get("/api/overview", headers={"Host": name}).status_code == 200


def test_every_answer_forbids_foreign_content(visitor: TestClient) -> None:
    for path in ("/", "/api/overview", "/static/page.css", "/api/runs/none"):
        headers = visitor.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_the_page_is_whole_without_a_network_and_writes_no_markup_from_data() -> None:
    for path in _STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.suffix in {".html", ".css"} or path.name in {"page.js", "curves.js"}:
            assert not re.search(r"https?://(?!www\.w3\.org)", text), path.name
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), path.name
            assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", text), path.name
