#!/usr/bin/env bash
# Does cross-attention help? The five forms on the same data, recipe and budget,
# three training seeds each. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for seed in 1 2 3; do
  for form in self cross cross_published cross_difference cross_gram; do
    run "$form-$seed" "${first_fast[@]}" num_train_steps=3000 \
      attention_form=$form random_seed=$seed
  done
done
