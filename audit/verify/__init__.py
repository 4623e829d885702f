"""Verification: what the evidence carries of a report recomputed, every hash held against its file."""

from audit.verify.found import Verification
from audit.verify.hub import pulled
from audit.verify.verification import verified

__all__ = ["Verification", "pulled", "verified"]
