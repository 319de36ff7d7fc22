#!/usr/bin/env bash
# What does a wider model give? d 128 by what validation chose for it; d 64 is
# the fast recipe's. And what do twice the whole windows give it, by validation
# and on the published split? See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

wide() {
  local name=$1
  shift
  run "$name" recipe=fast dim=128 \
    short_train_steps=15000 short_learning_rate=2e-3 short_warmup_steps=1000 \
    hidden_dropout_prob=0.1 attention_probs_dropout_prob=0.1 \
    "$@" --shift_positions=False
}

wide 128-1 random_seed=1 num_train_steps=3000
wide 128-6000-validated holdout_validation=True num_train_steps=6000 \
  --selection_metric=full/ndcg@10 --eval_every_steps=500
wide 128-6000-1 random_seed=1 num_train_steps=6000
