#!/usr/bin/env bash
# Twelve variants of the LSTM, three seeds each, at equal weights, about two CPU minutes each. Resumes by itself.
# Arguments are those of ablate.py, e.g. corpus.folder=FOLDER, --experiment fsdd, --seeds 5.
set -euo pipefail
exec "${PYTHON:-python}" "$(dirname "$0")/ablate.py" "$@"
