# Set-up and the dataset pipeline; sourced by the run_*.sh scripts.
# shellcheck shell=bash
set -euo pipefail

SUPPORTED="3.6 3.7 3.9 3.10 3.11"
VENVS=${VENVS:-.venv}
data_dir=./data
CKPT_DIR=${CKPT_DIR:-./checkpoints}

fail() {
  echo "$(basename "$0"): error: $*" >&2
  exit 1
}

# The version of an interpreter as "3.11", or nothing when it does not answer:
# a shim on the PATH may well be broken.
python_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

is_supported() {
  [ -n "$1" ] && [[ " $SUPPORTED " == *" $1 "* ]]
}

# Sets PYTHON to the interpreter to use: $PYTHON, else python3 where it is
# supported, else the first supported one found, else Python 3.11 through uv.
choose_python() {
  local candidate version found=""
  if [ -n "${PYTHON:-}" ]; then
    version=$(python_version "$PYTHON")
    is_supported "$version" && return
    fail "PYTHON=$PYTHON is ${version:-no working Python}; this project runs on Python $SUPPORTED: set PYTHON= to one of them"
  fi
  for candidate in python3 python3.11 python3.10 python3.9 python3.7 python3.6; do
    version=$(python_version "$candidate")
    if is_supported "$version"; then
      PYTHON=$candidate
      return
    fi
    [ -z "$version" ] || found="$found $version"
  done
  if command -v uv >/dev/null 2>&1; then
    PYTHON=$(uv python find 3.11 2>/dev/null) && return
    uv python install 3.11 >&2 && PYTHON=$(uv python find 3.11) && return
  fi
  fail "found Python${found:- nowhere on the PATH}; this project runs on $SUPPORTED: set PYTHON= to one of them, or install uv, which provides 3.11"
}

# What pip is to install for a Python version, one argument a line.
pip_arguments() {
  printf '%s\n' -r requirements.txt
  # A card that answers needs TensorFlow's CUDA wheels; 1.15 knows no such extra.
  if [[ "$1" != 3.[67] ]] && command -v nvidia-smi >/dev/null 2>&1 \
      && nvidia-smi >/dev/null 2>&1; then
    echo "tensorflow[and-cuda]==2.15.1"
  fi
}

# Whether a stamp file says that exactly this was done.
is_stamped() {
  [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

# Makes the virtual environment, unless it is there already, and sets PYTHON to
# its interpreter. Further arguments are requirements files to add.
set_up() {
  choose_python
  local version venv stamp wanted extra
  version=$(python_version "$PYTHON")
  venv=$VENVS/$version
  local arguments=()
  mapfile -t arguments < <(pip_arguments "$version")
  for extra in "$@"; do arguments+=(-r "$extra"); done
  wanted=$(printf '%s\n' "${arguments[@]}"; cat requirements.txt "$@")
  stamp=$venv/installed${1:+-${1//\//-}}
  if ! is_stamped "$stamp" "$wanted"; then
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null \
      || fail "$PYTHON has no venv module; install it (on Debian and Ubuntu: apt install python$version-venv) or set PYTHON= to another"
    mkdir -p "$VENVS"
    (
      # A script beside this one may be at it; some systems have no flock.
      ! command -v flock >/dev/null 2>&1 || flock 8 || true
      is_stamped "$stamp" "$wanted" || make_venv
    ) 8> "$VENVS/.lock"
  fi
  PYTHON=$venv/bin/python
}

# Makes and fills the environment that set_up describes.
make_venv() {
  echo "setting up Python $version in $venv; this happens once" >&2
  "$PYTHON" -m venv "$venv"
  # The pip that comes with Python 3.6 cannot install TensorFlow's wheel.
  "$venv/bin/python" -m pip install --quiet --upgrade pip
  "$venv/bin/python" -m pip install --quiet "${arguments[@]}"
  printf '%s\n' "$wanted" > "$stamp"
}

# How to train: as published, or in half an hour, as held-out validation chose
# it on ML-1M, and on Beauty its rate and warm-up (docs/recipes.md).
set_recipe() {
  recipe=${recipe:-published}
  case $recipe in
    published)
      num_train_steps=${num_train_steps:-$published_steps}
      learning_rate=${learning_rate:-1e-4}
      output_bias=${output_bias:-zeros}
      ;;
    fast)
      # Most is learned on windows of 50, at a quarter of the time.
      if [ "$max_seq_length" -gt 50 ]; then
        short_train_steps=${short_train_steps:-10000}
        num_train_steps=${num_train_steps:-2500}
        learning_rate=${learning_rate:-1e-3}
        num_warmup_steps=${num_warmup_steps:-100}
      fi
      num_train_steps=${num_train_steps:-5000}
      learning_rate=${learning_rate:-${fast_learning_rate:-3e-3}}
      num_warmup_steps=${num_warmup_steps:-${fast_warmup_steps:-1000}}
      output_bias=${output_bias:-log_popularity}
      hidden_dropout_prob=${hidden_dropout_prob:-0.0}
      attention_probs_dropout_prob=${attention_probs_dropout_prob:-0.0}
      ;;
    *) fail "recipe=$recipe: the recipes are published and fast" ;;
  esac
}

# Sets what neither the environment nor the caller has set. Each of these can be
# set from the environment.
set_defaults() {
  set_recipe
  # Above 0, as many steps on windows of 50 come first.
  short_train_steps=${short_train_steps:-0}
  case $short_train_steps in
    0) ;;
    *[!0-9]*) fail "short_train_steps=$short_train_steps is no number of steps" ;;
    *) [ "$max_seq_length" -gt 50 ] || fail "short_train_steps=$short_train_steps: windows of 50 come first where max_seq_length is above 50, and it is $max_seq_length" ;;
  esac
  short_learning_rate=${short_learning_rate:-3e-3}
  # With 1,000 one seed of seven stayed at popularity (docs/recipes.md).
  short_warmup_steps=${short_warmup_steps:-2000}
  mask_prob=${mask_prob:-1.0}
  dupe_factor=${dupe_factor:-10}
  pool_size=${pool_size:-10}
  batch_size=${batch_size:-256}
  num_warmup_steps=${num_warmup_steps:-100}
  random_seed=${random_seed:-12345}
  # True keeps the validation items out of training and chooses a checkpoint by
  # them.
  holdout_validation=${holdout_validation:-False}
  case $holdout_validation in
    True | False) ;;
    *) fail "holdout_validation=$holdout_validation is neither True nor False" ;;
  esac
  make_data=${make_data:-data/prepare_data.py $dataset_name}
  bert_config_file=${bert_config_file:-./bert_train/bert_config_${dataset_name}_$dim.json}
  [ -f "$bert_config_file" ] || fail "there is no model config $bert_config_file; set dim= to a width that bert_train/ has one for, or bert_config_file= to one of your own"
  # Another form, and another seed, train in directories of their own.
  attention_form=${attention_form:-$(configured_form)}
  signature=${signature:-$(default_signature)}
}

# The attention form of the model config.
configured_form() {
  local key='"attention_form"[[:space:]]*:[[:space:]]*"([a-z_]*)"'
  if [[ "$(cat "$bert_config_file")" =~ $key ]]; then
    echo "${BASH_REMATCH[1]}"
  else
    echo cross_published
  fi
}

# What tells the files of these sizes from others.
default_signature() {
  echo "-mp$mask_prob-sw$prop_sliding_window-mlp$masked_lm_prob-df$dupe_factor-mpps$max_predictions_per_seq-msl$max_seq_length$([ "$holdout_validation" != True ] || echo -ho)"
}

# Makes the training and test files of the interactions.
generate() {
  "$PYTHON" -u gen_data_fin.py \
    --dataset_name="$dataset_name" \
    --data_dir="$data_dir/" \
    --max_seq_length="$max_seq_length" \
    --max_predictions_per_seq="$max_predictions_per_seq" \
    --mask_prob="$mask_prob" \
    --dupe_factor="$dupe_factor" \
    --masked_lm_prob="$masked_lm_prob" \
    --prop_sliding_window="$prop_sliding_window" \
    --signature="$signature" \
    --pool_size="$pool_size" \
    --holdout_validation="$holdout_validation"
}

# What a choice adds to a directory's name: nothing when it is the default.
suffix() {
  [ "$1" = "$2" ] || echo "-$1"
}

# Refuses arguments for run.py that it would read and the script would miss:
# -name=value, a flag and its value as two arguments, another model directory or
# model config.
check_run_flags() {
  local argument
  for argument in "$@"; do
    case $argument in
      --checkpointDir=* | --signature=*) fail "$argument: set model_dir= before the command instead" ;;
      --bert_config_file=*) fail "$argument: set bert_config_file= before the command instead" ;;
      --*) ;;
      *) fail "'$argument' is not a flag; flags are written --name=value" ;;
    esac
  done
}

# Sets what the arguments for run.py say of the model and, where the environment
# does not, the model directory.
read_run_flags() {
  local argument
  init_checkpoint=
  for argument in "$@"; do
    case $argument in
      --attention_form=*) attention_form=${argument#*=} ;;
      --random_seed=*) random_seed=${argument#*=} ;;
      --do_train=[Ff0]* | --nodo_train) short_train_steps=0 ;;
      # Training begins there, and not on short windows.
      --init_checkpoint=*) init_checkpoint=$argument short_train_steps=0 ;;
    esac
  done
  model_dir=${model_dir:-$CKPT_DIR/$dataset_name$signature-$dim$(suffix "$attention_form" cross_published)$(suffix "$recipe" published)$(suffix "$random_seed" 12345)}
}

# Trains and evaluates on what was generated, in $model_dir, on short windows
# first where there are short_train_steps; the arguments go to run.py.
train_and_evaluate() {
  local data=$data_dir/$dataset_name$signature name
  if [ "$short_train_steps" != 0 ]; then
    # The longer training, once begun, no longer needs it.
    [ -f "$model_dir/checkpoint" ] || train_short "$@"
    set -- --init_checkpoint="$model_dir-short" "$@"
  fi
  if [ "$holdout_validation" = True ]; then
    set -- --valid_input_file="$data.valid.tfrecord" "$@"
  fi
  for name in hidden_dropout_prob attention_probs_dropout_prob; do
    [ -z "${!name:-}" ] || set -- --"$name=${!name}" "$@"
  done
  "$PYTHON" -u run.py \
    --train_input_file="$data.train.tfrecord" \
    --test_input_file="$data.test.tfrecord" \
    --vocab_filename="$data.vocab" \
    --user_history_filename="$data.his" \
    --checkpointDir="$model_dir" \
    --attention_form="$attention_form" \
    --do_train=True \
    --do_eval=True \
    --bert_config_file="$bert_config_file" \
    --batch_size="$batch_size" \
    --max_seq_length="$max_seq_length" \
    --max_predictions_per_seq="$max_predictions_per_seq" \
    --num_train_steps="$num_train_steps" \
    --num_warmup_steps="$num_warmup_steps" \
    --learning_rate="$learning_rate" \
    --output_bias="$output_bias" \
    --random_seed="$random_seed" \
    "$@"
}

# Trains on windows of 50, in $model_dir-short, with masks in proportion, rounded
# up to be one at least. Positions are shifted, so that the longer windows find
# theirs trained. Steps and rates among the arguments are the longer training's.
train_short() (
  max_predictions_per_seq=$(((max_predictions_per_seq * 50 + max_seq_length - 1) / max_seq_length))
  max_seq_length=50
  num_train_steps=$short_train_steps
  short_train_steps=0
  learning_rate=$short_learning_rate
  num_warmup_steps=$short_warmup_steps
  signature=$(default_signature)
  model_dir=$model_dir-short
  generate
  train_and_evaluate --shift_positions "$@" \
    --num_train_steps="$num_train_steps" --num_warmup_steps="$num_warmup_steps" \
    --learning_rate="$learning_rate" --do_eval=False
)

# A command as a shell takes it, spaces in its words and all.
quoted() {
  local line
  printf -v line ' %q' "$@"
  echo "${line:1}"
}

# Prints what to do next: pairs of a name and a command.
say_next() {
  printf '%-16s %s\n' "$@"
}

# The whole pipeline of a dataset with the variables of the caller, after making
# $data_dir/<name>.txt where it is missing; the arguments go to run.py.
run_dataset() {
  local predict=(--do_predict)
  check_run_flags "$@"
  set_defaults
  read_run_flags "$@"
  set_up
  # shellcheck disable=SC2086  # a command and its arguments
  [ -f "$data_dir/$dataset_name.txt" ] || "$PYTHON" -u $make_data
  generate
  train_and_evaluate "$@"
  # What was not trained here has no checkpoint here.
  [ -f "$model_dir/checkpoint" ] || [ -z "$init_checkpoint" ] || predict+=("$init_checkpoint")
  say_next "recommend:" "$(quoted "$PYTHON" run.py "${predict[@]}" --checkpointDir="$model_dir")" \
    "the curves:" "$(quoted "$(dirname "$PYTHON")/tensorboard" --logdir "$CKPT_DIR")" \
    "a report:" "$(quoted "$PYTHON" -m pip install -r requirements-report.txt) && $(quoted "$PYTHON" report.py "$model_dir")"
}
