#!/usr/bin/env bash
# Amazon Beauty with the published hyper-parameters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

dataset_name=beauty
max_seq_length=${max_seq_length:-50}
masked_lm_prob=${masked_lm_prob:-0.6}
max_predictions_per_seq=${max_predictions_per_seq:-30}
prop_sliding_window=${prop_sliding_window:-0.1}
dim=${dim:-64}
published_steps=400000
fast_learning_rate=1e-3
fast_warmup_steps=100

source ./common.sh
run_dataset "$@"
