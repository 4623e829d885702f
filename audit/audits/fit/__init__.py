"""Label fit: how well a base's features tell the task's labels, before anything is adapted."""

from audit.audits.fit.evidence import log_evidence, log_evidence_at
from audit.audits.fit.folds import deal_folds, out_of_fold, probe_hits
from audit.audits.fit.h_score import HScore, h_score, h_score_excess, permuted_labels
from audit.audits.fit.scales import NEVER_WRONG, label_fit
from audit.audits.fit.spectrum import Spectrum

__all__ = [
    "NEVER_WRONG",
    "HScore",
    "Spectrum",
    "deal_folds",
    "h_score",
    "h_score_excess",
    "label_fit",
    "log_evidence",
    "log_evidence_at",
    "out_of_fold",
    "permuted_labels",
    "probe_hits",
]
