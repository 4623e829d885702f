"""The gate before deployment: a policy held against a report."""

from audit.gate.decide import decided
from audit.gate.policy import DEFAULT, Policy, Rule, load_policy
from audit.gate.written import junit, sarif

__all__ = ["DEFAULT", "Policy", "Rule", "decided", "junit", "load_policy", "sarif"]
