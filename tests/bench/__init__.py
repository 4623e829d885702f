"""Benchmarks: paired rounds on the same inputs, medians and ratios; never asserted by time in a test."""
