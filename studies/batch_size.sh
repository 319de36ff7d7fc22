#!/usr/bin/env bash
# Does BERT4Rec need thirty times the training? The published recipe on 400,000
# sequences, one, 16 or 256 at a time, and the fast one. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

see_400000() {
  local name=$1 batch=$2 steps=$((400000 / $2))
  shift 2
  run "$name" "$@" holdout_validation=True batch_size="$batch" \
    num_train_steps=$steps --eval_every_steps=$((steps / 20)) \
    --selection_metric=full/ndcg@10
}

see_400000 256 256
see_400000 16 16
see_400000 1 1
see_400000 256-fast 256 "${first_fast[@]}"
