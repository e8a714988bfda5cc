"""The checks behind `status` and `doctor`. The hot path reports no errors, so they are found by looking."""

from onramp_analytics.health.check import NOTE, OK, WRONG, Check
from onramp_analytics.health.checkout import checks, problems

__all__ = ["NOTE", "OK", "WRONG", "Check", "checks", "problems"]
