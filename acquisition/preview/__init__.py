"""Images of a run that is going on: another process reads what is durable and writes nothing into the run."""

from knightshift.acquisition.preview.follower import RunFollower, RunState
from knightshift.acquisition.preview.pictures import write_preview
from knightshift.acquisition.preview.snapshot import Snapshot, take_snapshot

__all__ = ["RunFollower", "RunState", "Snapshot", "take_snapshot", "write_preview"]
