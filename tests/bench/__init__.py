"""Benchmarks: paired runs in one process, medians and ratios; never asserted by time in a test."""
