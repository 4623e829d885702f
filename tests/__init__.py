"""Tests of transfer-audit."""
