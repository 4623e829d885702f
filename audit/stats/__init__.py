"""What every verdict rests on: paired and clustered intervals, families, disparities, permutation, planning.

The unit is the cluster (a document, a template, a writer), never the token or the row. numpy and scipy only;
deterministic: what is drawn at random is seeded from the data.
"""

from audit.stats.clusters import cluster_means, cluster_weights, rng_from
from audit.stats.crossed import Crossed
from audit.stats.disparity import (
    Contrast,
    bootstrap_interval,
    contrast,
    contrast_scores,
    contrasts,
    group_rates,
    signed_contrasts,
)
from audit.stats.family import false_discovery_level, holm, simultaneous_level
from audit.stats.intervals import mcnemar, mean_interval, newcombe, proportion_interval, tango
from audit.stats.jackknife import pseudo_values
from audit.stats.paired import Compared, Comparison, compare, decide, over_seeds, true_flips
from audit.stats.permutation import deal_clusters, permutation_p, sign_flip_p
from audit.stats.plan import clusters_needed, discordant_needed, minimum_detectable
from audit.stats.ratio import Linearised, compare_ratios, linearised
from audit.stats.skewed import Skewed, compare_skewed, skewed_interval

__all__ = [
    "Compared",
    "Comparison",
    "Contrast",
    "Crossed",
    "Linearised",
    "Skewed",
    "bootstrap_interval",
    "cluster_means",
    "cluster_weights",
    "clusters_needed",
    "compare",
    "compare_ratios",
    "compare_skewed",
    "contrast",
    "contrast_scores",
    "contrasts",
    "deal_clusters",
    "decide",
    "discordant_needed",
    "false_discovery_level",
    "group_rates",
    "holm",
    "linearised",
    "mcnemar",
    "mean_interval",
    "minimum_detectable",
    "newcombe",
    "over_seeds",
    "permutation_p",
    "proportion_interval",
    "pseudo_values",
    "rng_from",
    "sign_flip_p",
    "signed_contrasts",
    "simultaneous_level",
    "skewed_interval",
    "tango",
    "true_flips",
]
