#!/usr/bin/env bash
# The vanishing gradient by cell and initialisation: a table and vanishing_gradient.svg, in seconds. No data.
set -euo pipefail
exec "${PYTHON:-python}" "$(dirname "$0")/measure.py" "$@"
