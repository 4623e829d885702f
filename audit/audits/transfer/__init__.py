"""Negative transfer and data savings: whether the base helps, by how much, and what that saves in data."""
