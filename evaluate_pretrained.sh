#!/usr/bin/env bash
# Evaluates published models on files made here, and compares every user's ranks
# with those that were published:
#
#   ./evaluate_pretrained.sh [pretrained/<dataset>-<form>-<recipe> ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

source ./common.sh

# Evaluates the model in a folder; stops where its ranks are others.
evaluate() {
  local folder=${1%/} name form rest agreement
  [[ -d "$folder" || "$folder" = /* ]] || folder=$OLDPWD/$folder
  name=$(basename "$folder")
  rest=${name%-*}
  form=${rest##*-}
  [ -f "$folder/checkpoint" ] && [ -f "./run_${rest%-*}.sh" ] \
    || fail "no published model in $1; those in pretrained/ are called <dataset>-<form>-<recipe>"
  export attention_form=$form bert_config_file=$folder/bert_config.json
  export model_dir=$CKPT_DIR/pretrained/$name
  "./run_${rest%-*}.sh" --do_train=False --init_checkpoint="$folder"
  set_up  # which the run has done: names its Python
  agreement=$("$PYTHON" pretrained/compare_ranks.py \
    "$folder/eval_users.tsv.gz" "$model_dir/eval_users.tsv") \
    || fail "$name: other ranks than the published ones; see the line above"
  echo "$name: $agreement"
}

[ $# -gt 0 ] || set -- pretrained/*-*-*/
for folder in "$@"; do
  evaluate "$folder"
done
