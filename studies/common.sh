# What the studies share; sourced by them.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

study=$(basename "$0" .sh)
runs=${CKPT_DIR:-./checkpoints}/studies/$study

# One training and its evaluation, in $runs/<name>, with the variables given as
# name=value; the rest of the arguments goes to run.py. The dataset is ml-1m,
# unless `dataset` says otherwise. What is evaluated already is not run again,
# what was interrupted goes on, and what a copy of the script beside this one
# trains is left to it.
run() {
  local name=$1 variables=()
  shift
  while [[ "${1:-}" = *=* && "$1" != -* ]]; do
    variables+=("$1")
    shift
  done
  mkdir -p "$runs"
  (
    flock --nonblock 9 || exit 0
    [ -f "$runs/$name/eval_results.txt" ] || env "${variables[@]}" \
      model_dir="$runs/$name" "./run_${dataset:-ml-1m}.sh" "$@"
  ) 9> "$runs/.$name.lock"
}

# Waits until no copy of the script trains this any more.
wait_for() {
  (flock 9) 9> "$runs/.$1.lock"
}
