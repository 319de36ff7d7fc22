# What the studies share; sourced by them.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

study=$(basename "$0" .sh)
runs=${CKPT_DIR:-./checkpoints}/studies/$study
failed=()
# The first recipe called fast: whole windows from the start.
first_fast=(recipe=fast short_train_steps=0 learning_rate=3e-3
  num_warmup_steps=100)
trap say_failures EXIT

# Ends the script as failed where a training has failed.
say_failures() {
  local status=$?
  [ ${#failed[@]} = 0 ] || {
    echo "$study.sh: error: failed: ${failed[*]}; the messages are above, and the same command goes on" >&2
    exit $((status ? status : 1))
  }
}

# One training and its evaluation, in $runs/<name>, with the variables given as
# name=value; the rest of the arguments goes to run.py. The dataset is ml-1m,
# unless dataset=… is among them. What is evaluated already is not run again,
# what was interrupted goes on, and what a copy of the script beside this one
# trains is left to it. After a training that fails the others still run; a
# stopped one, by its signal's status, stops the script.
run() {
  local name=$1 dataset=ml-1m variables=() status=0
  shift
  while [[ "${1:-}" = *=* && "$1" != -* ]]; do
    case $1 in
      dataset=*) dataset=${1#*=} ;;
      *) variables+=("$1") ;;
    esac
    shift
  done
  mkdir -p "$runs"
  (
    flock --nonblock 9 || exit $(($? == 1 ? 0 : 1))  # 1: it is held
    [ -f "$runs/$name/eval_results.txt" ] || env "${variables[@]}" \
      model_dir="$runs/$name" "./run_$dataset.sh" "$@"
  ) 9> "$runs/.$name.lock" || status=$?
  [ $status -lt 128 ] || exit $status
  [ $status = 0 ] || failed+=("$name")
}

# Whether the training is done, after any copy of the script that is at it.
is_done() {
  (flock 9) 9> "$runs/.$1.lock"
  [ -f "$runs/$1/eval_results.txt" ]
}
