"""A Hub on the loopback, in memory, for the unmodified clients of the real one.

``python -m tests.hub`` serves it to a person; the pytest plugin ``tests.hub.plugin`` serves it to tests. It speaks
what huggingface_hub 2.4 says and reads; what only the real Hub knows (its scans, its search, its containers) a test
sets by hand. Standard library, and PyYAML for the cards: hf_xet only where a test asks for it (``tests.hub.xet``).
"""

from tests.hub.hub import Hub

__all__ = ["Hub"]
