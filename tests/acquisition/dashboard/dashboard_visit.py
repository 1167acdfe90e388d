"""What the tests of the live page share."""

from __future__ import annotations

from starlette.testclient import TestClient

from knightshift.acquisition.dashboard import DashboardSettings
from knightshift.acquisition.dashboard.app import make_app
from knightshift.acquisition.queue.jobs import JobKind, JobRequest, ScanTask

TOKEN = "0123456789abcdef-of-a-test"


def visit(settings: DashboardSettings) -> TestClient:
    return TestClient(make_app(settings), base_url="http://127.0.0.1:8765")


def scan(name: str) -> JobRequest:
    task = ScanTask(protocol={}, runs="/runs", average_s=60.0, averages=10)
    return JobRequest(name=name, kind=JobKind.SCAN, scan=task)
