#!/usr/bin/env bash
# What does a sampled metric reward? The published models of ML-1M, and copies
# whose scores are discounted by popularity; nothing is trained. See
# docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source ./common.sh
set_up

# Evaluates a model of pretrained/ as it is, which makes the data, and then with
# shares of the log popularity taken off.
discount() {
  local folder=pretrained/ml-1m-cross_published-$1 share copy
  local evaluated=(bert_config_file="$folder/bert_config.json" --do_train=False)
  run "$1-0" "${evaluated[@]}" --init_checkpoint="$folder"
  is_done "$1-0" || return 0
  for share in 0.25 0.5 0.75 1; do
    copy=$runs/$1-$share-model
    [ -f "$copy/checkpoint" ] \
      || "$PYTHON" studies/popularity_discount.py "$folder" "$share" "$copy"
    run "$1-$share" "${evaluated[@]}" --init_checkpoint="$copy"
  done
}

discount fast
discount wide
