#!/usr/bin/env bash
# What does --num_sampled do to the metrics? Samples of 100 and 1,000 items; the
# full softmax is that of the fast recipe's seeds. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for sampled in 1000 100; do
  for seed in 1 2 3; do
    run "$sampled-$seed" recipe=fast random_seed=$seed --num_sampled=$sampled
  done
done
