"""How often verdicts are wrong: simulated audits whose truth is known."""
