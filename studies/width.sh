#!/usr/bin/env bash
# What does a wider model give? d 128 by what validation chose for it; d 64 is
# the fast recipe's. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

run 128-1 recipe=fast dim=128 random_seed=1 \
  short_train_steps=15000 short_learning_rate=2e-3 short_warmup_steps=1000 \
  num_train_steps=3000 \
  hidden_dropout_prob=0.1 attention_probs_dropout_prob=0.1 \
  --shift_positions=False
