#!/usr/bin/env bash
# FSDD, one speaker left out in turn: an ablation of nine rows, two speakers and three seeds at 2.5 CPU minutes each,
# then all that helps on all five speakers, five minutes each. Resumes by itself. FSDD=folder of the repository prepares
# the corpus first. Arguments are those of loso.py and take the place of both, e.g. --rows all --speakers theo --seeds 1.
set -euo pipefail
folder=${SEQLAB_DATA:-data}/fsdd
if [ -n "${FSDD:-}" ]; then seqlab prepare corpus=fsdd corpus.prepare.root="$FSDD"; fi
if [ ! -e "$folder/strings_train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: FSDD=free-spoken-digit-dataset $0" >&2
    exit 2
fi
loso() { "${PYTHON:-python}" "$(dirname "$0")/loso.py" "$folder" "$@"; }
if [ $# -gt 0 ]; then loso "$@"; exit; fi
loso training.budget_minutes=2.5 -o runs/fsdd_loso/ablation
loso --rows all-priors --speakers george jackson nicolas theo yweweler -o runs/fsdd_loso/five
