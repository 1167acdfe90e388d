"""The live page: what the scanner does, seen from a browser. It reads run folders and the queue, and nothing else.

Needs the extra ``web`` (Starlette and uvicorn). See docs/how-to/live-page.md.
"""

from __future__ import annotations

from knightshift.acquisition.dashboard.settings import DashboardSettings

__all__ = ["DashboardSettings"]
