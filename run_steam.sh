#!/usr/bin/env bash
# Steam with the published hyper-parameters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

dataset_name=steam
max_seq_length=${max_seq_length:-50}
masked_lm_prob=${masked_lm_prob:-0.4}
max_predictions_per_seq=${max_predictions_per_seq:-20}
prop_sliding_window=${prop_sliding_window:-0.5}
dim=${dim:-256}
published_steps=800000

source ./common.sh
run_dataset "$@"
