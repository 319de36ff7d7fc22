# What the studies share; sourced by them.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

study=$(basename "$0" .sh)
runs=${CKPT_DIR:-./checkpoints}/studies/$study

# One training and its evaluation, in $runs/<name>, with the variables given as
# name=value; the rest of the arguments goes to run.py. The dataset is ml-1m,
# unless `dataset` says otherwise. What is evaluated already is not run again,
# and what was interrupted goes on.
run() {
  local name=$1 variables=()
  shift
  while [[ "${1:-}" = *=* && "$1" != -* ]]; do
    variables+=("$1")
    shift
  done
  [ -f "$runs/$name/eval_results.txt" ] || env "${variables[@]}" \
    model_dir="$runs/$name" "./run_${dataset:-ml-1m}.sh" "$@"
}
