#!/usr/bin/env bash
# Sets up an environment and runs the whole test suite, on every core up to
# eight a file of tests at a time; arguments go to pytest (-n 0: all of it in
# one process).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

source ./common.sh
set_up tests/requirements.txt requirements-beam.txt
exec "$PYTHON" -m pytest -p no:cacheprovider -n auto --maxprocesses=8 \
  --dist loadfile "$@"
