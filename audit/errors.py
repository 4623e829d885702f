"""The errors that a user meets: each one line that names the thing, its place and what would do."""

__all__ = ["InputError", "Unavailable"]


class InputError(ValueError):
    """Something the user gave cannot be used. Exit code 2."""


class Unavailable(RuntimeError):
    """Something that was asked for cannot be had now: the Hub, room on the disk, the run folder. Exit code 3."""
