"""Ranking evaluation, in NumPy alone: one import gives what callers need.

The test item of each user is ranked among candidates by its score;
`candidates` says which, `metrics` what the ranks are worth, `baselines` what
is to be beaten, and `Evaluator` does it batch by batch.
"""

from evaluation.baselines import BASELINES, log_popularity, training_part
from evaluation.candidates import PROTOCOLS, check_catalogue
from evaluation.evaluator import Evaluator
from evaluation.files import read_candidates, write_candidates, write_user_rows
from evaluation.metrics import (
    METRICS, METRIC_LABELS, SEED, bootstrap_intervals, metric_values,
    ranking_metrics, RankingError)
from evaluation.tables import published_line, results_table, summary_table
