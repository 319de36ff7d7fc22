#!/usr/bin/env bash
# The shipped synthetic sample: the whole pipeline in a few minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

dataset_name=sample
make_data=data/make_sample.py
max_seq_length=${max_seq_length:-50}
masked_lm_prob=${masked_lm_prob:-0.2}
max_predictions_per_seq=${max_predictions_per_seq:-10}
prop_sliding_window=${prop_sliding_window:-0.5}
dim=${dim:-64}
# Chosen by held-out validation among rates of 1e-3 and 3e-3 and dropouts of 0
# and 0.1.
num_train_steps=${num_train_steps:-800}
learning_rate=${learning_rate:-3e-3}
output_bias=${output_bias:-log_popularity}

source ./common.sh
run_dataset "$@"
say_next "a real dataset:" ./run_ml-1m.sh
