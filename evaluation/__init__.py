"""Ranking evaluation, in NumPy alone: one import gives what callers need.

The test item of each user is ranked among candidates by its score;
`candidates` says which, `metrics` what the ranks are worth, `baselines` what
is to be beaten, and `Evaluator` does it batch by batch.
"""

from evaluation.baselines import BASELINES
from evaluation.baselines import training_part
from evaluation.candidates import PROTOCOLS
from evaluation.evaluator import Evaluator
from evaluation.files import read_candidates
from evaluation.files import write_candidates
from evaluation.files import write_user_rows
from evaluation.metrics import METRIC_LABELS
from evaluation.metrics import METRICS
from evaluation.metrics import RankingError
from evaluation.metrics import bootstrap_intervals
from evaluation.metrics import metric_values
from evaluation.metrics import ranking_metrics
from evaluation.tables import published_line
from evaluation.tables import results_table
