"""What can be known of a base before it is built on: licence, files, chain of bases, what the Hub's scans say."""

from audit.publish.diligence.lineage import diligence, licence_check

__all__ = ["diligence", "licence_check"]
