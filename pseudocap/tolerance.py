"""Limit the share of inputs that may fail in a run: single files do, many mean a wrong path or setting."""

from __future__ import annotations

from dataclasses import dataclass

from pseudocap.errors import ConfigError

FEW = 20  # inputs before a share of failures means anything


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Let at most `share` fail, counted over at least `least`: the first failure is no rate. `option` is its name."""

    share: float
    least: int = 0
    option: str = "max_failure_rate"

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not 0 <= self.share <= 1:
            raise ConfigError(f"{self.option} must be a share from 0 to 1, not {self.share!r}")

    def objection(self, failed: int, of: int, what: str) -> str:
        """Return what to report where more failed than may, `what` being what is wrong with them; else nothing."""
        if failed <= self.share * max(of, self.least):
            return ""
        return f"{failed:,} of {of:,} {what}, more than {self.option} {self.share:g} allows"
