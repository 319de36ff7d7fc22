#!/usr/bin/env bash
# Does BERT4Rec need thirty times the training? The published recipe on 400,000
# sequences, one, 16 or 256 at a time. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for batch in 256 16 1; do
  steps=$((400000 / batch))
  run "$batch" holdout_validation=True batch_size=$batch num_train_steps=$steps \
    --eval_every_steps=$((steps / 20)) --selection_metric=full/ndcg@10
done
