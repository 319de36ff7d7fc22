#!/usr/bin/env bash
# MovieLens-20M with the published hyper-parameters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

dataset_name=ml-20m
max_seq_length=${max_seq_length:-200}
masked_lm_prob=${masked_lm_prob:-0.2}
max_predictions_per_seq=${max_predictions_per_seq:-20}
prop_sliding_window=${prop_sliding_window:-0.5}
dim=${dim:-64}
published_steps=400000

source ./common.sh
run_dataset "$@"
