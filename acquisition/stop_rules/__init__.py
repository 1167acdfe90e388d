"""Stop a run when its result is good enough: SNR of an echo, or uncertainty of T2, in a region.

Names are imported when they are asked for: the queue keeps rules with its jobs and starts without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from knightshift.acquisition.stop_rules.rules import BoxRegion, MaskRegion, SnrRule, StopRules, T2StdRule

if TYPE_CHECKING:
    from knightshift.acquisition.stop_rules.evaluation import AppliedRules, Standing
    from knightshift.acquisition.stop_rules.observer import RuleObserver
    from knightshift.acquisition.stop_rules.progress import RuleProgress, progress_of, rules_in_force
    from knightshift.acquisition.stop_rules.syntax import parse_rule, parse_rules, read_rules

__all__ = [
    "AppliedRules",
    "BoxRegion",
    "MaskRegion",
    "RuleObserver",
    "RuleProgress",
    "SnrRule",
    "Standing",
    "StopRules",
    "T2StdRule",
    "parse_rule",
    "parse_rules",
    "progress_of",
    "read_rules",
    "rules_in_force",
]

_HOME = {
    "AppliedRules": "evaluation",
    "RuleObserver": "observer",
    "RuleProgress": "progress",
    "Standing": "evaluation",
    "parse_rule": "syntax",
    "parse_rules": "syntax",
    "progress_of": "progress",
    "read_rules": "syntax",
    "rules_in_force": "progress",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
