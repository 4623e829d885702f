"""Verification: every number of a report recomputed from its evidence, every hash from its file."""

from audit.verify.found import Verification
from audit.verify.hub import pulled
from audit.verify.verification import verified

__all__ = ["Verification", "pulled", "verified"]
