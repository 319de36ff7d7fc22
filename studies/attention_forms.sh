#!/usr/bin/env bash
# Does cross-attention help? The other four forms, three training seeds each;
# cross_published's are those of the fast recipe's seeds. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for seed in 1 2 3; do
  for form in self cross cross_difference cross_gram; do
    run "$form-$seed" recipe=fast attention_form=$form random_seed=$seed
  done
done
