#!/usr/bin/env bash
# How much do training seeds differ on Beauty, and does cross-attention help
# there? Two forms, three training seeds each. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for seed in 1 2 3; do
  for form in cross_published self; do
    run "$form-$seed" dataset=beauty recipe=fast attention_form=$form \
      random_seed=$seed
  done
done
