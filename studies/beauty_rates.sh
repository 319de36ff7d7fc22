#!/usr/bin/env bash
# Does each form want its own learning rate on Beauty? By validation items held
# out, for the comparison that beauty_forms.sh makes. See docs/studies.md.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for rate in 2e-3 5e-4 1e-3; do
  for form in self cross_published; do
    run "$form-$rate" dataset=beauty recipe=fast attention_form=$form \
      learning_rate=$rate random_seed=1 holdout_validation=True \
      --selection_metric=full/ndcg@10 --eval_every_steps=1000
  done
done
