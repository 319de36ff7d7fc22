#!/usr/bin/env bash
# Why do people stay at popularity? Short runs of the published recipe with one
# thing changed, and a test file whose [MASK] is another id than the training
# file's. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

short() {
  run "$@" --eval_every_steps=250 --selection_metric=seed/hit@10
}

# The published configuration with another standard deviation of the first
# weights.
wider_config() {
  mkdir -p "$runs"
  sed "s/\"initializer_range\": 0.02/\"initializer_range\": $1/" \
    bert_train/bert_config_ml-1m_64.json > "$runs/initializer-$1.json"
  echo "$runs/initializer-$1.json"
}

export holdout_validation=True num_train_steps=5000
export max_seq_length=50 max_predictions_per_seq=10
short published
short rate-3e-4 learning_rate=3e-4
short rate-1e-3 learning_rate=1e-3
short rate-3e-3 learning_rate=3e-3
short dropout-0 hidden_dropout_prob=0 attention_probs_dropout_prob=0
short initializer-0.1 bert_config_file="$(wider_config 0.1)"
short log_popularity output_bias=log_popularity
short fast "${first_fast[@]}"

# Added when rate-3e-3 and fast had not left the plateau.
short rate-3e-3-warm-up learning_rate=3e-3 num_warmup_steps=1000
short fast-warm-up "${first_fast[@]}" num_warmup_steps=1000

# One that has learned, asked with another [MASK] than it knows.
learned=rate-1e-3
if is_done $learned; then
  source ./common.sh
  set_up
  other=$runs/other-mask.test.tfrecord
  "$PYTHON" studies/other_mask_id.py "$runs/$learned" "$other"
  run other-mask --do_train=False --init_checkpoint="$runs/$learned/best" \
    --test_input_file="$other" --ignore_checksums
fi
