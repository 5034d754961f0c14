#!/usr/bin/env bash
# Makes .venv, installs the test extras and runs the tests; arguments go to pytest.
#   bash scripts/test.sh                    all tests, with line coverage
#   bash scripts/test.sh -m "not slow" -x   the quick ones, up to the first failure
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prepare_venv test
say "Running the tests"
exec "$VENV_PYTHON" -m pytest --cov=paddleseg --cov-report=term:skip-covered "$@"
