"""Lets the tests of this room, and the processes they start, import the fake scanner beside them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
