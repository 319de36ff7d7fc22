#!/usr/bin/env bash
# Sets up an environment and runs the whole test suite; arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

source ./common.sh
set_up tests/requirements.txt requirements-beam.txt
exec "$PYTHON" -m pytest -p no:cacheprovider "$@"
