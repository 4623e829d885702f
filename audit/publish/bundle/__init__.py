"""What exactly is published of a run: the files, what is taken out of them, and the manifest that lists them."""

from audit.publish.bundle.contents import Bundle, bundle, with_files

__all__ = ["Bundle", "bundle", "with_files"]
