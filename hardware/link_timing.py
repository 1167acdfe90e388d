"""How patient the two ends of a link are."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from knightshift.core.quantities import PositiveSeconds


class LinkTiming(BaseModel):
    """When to send again, and when to give a link up. Both ends keep their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heartbeat: PositiveSeconds = 0.5
    """Longest silence of a living end [s]."""
    link_timeout: PositiveSeconds = 3.0
    """Silence after which the link is lost: the serving side makes the scanner safe, the client is UNKNOWN [s]."""
    resend_interval: PositiveSeconds = 0.25
    """First wait before a request or a part is sent again; it doubles each time, up to `link_timeout` / 4 [s]."""
    command_timeout: PositiveSeconds = 600.0
    """Longest time that a command may take on the other side while the link lives [s]."""

    @model_validator(mode="after")
    def _several_tries_fit(self) -> Self:
        for name, value in (("heartbeat", self.heartbeat), ("resend_interval", self.resend_interval)):
            if value > self.link_timeout / 3:
                raise ValueError(
                    f"{name} {value:g} s leaves less than three tries within link_timeout {self.link_timeout:g} s: "
                    f"lower it to {self.link_timeout / 3:.3g} s"
                )
        return self

    def next_interval(self, interval: float) -> float:
        """How long to wait after the try that waited `interval` [s]."""
        return min(2 * interval, self.link_timeout / 4)
