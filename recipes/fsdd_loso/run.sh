#!/usr/bin/env bash
# FSDD, one speaker left out in turn: eight rows, two speakers, three seeds, five CPU minutes each. Resumes by itself.
# FSDD=folder of the repository prepares the corpus first. Arguments are those of loso.py, e.g. --rows all --seeds 1.
set -euo pipefail
folder=${SEQLAB_DATA:-data}/fsdd
if [ -n "${FSDD:-}" ]; then seqlab prepare corpus=fsdd corpus.prepare.root="$FSDD"; fi
if [ ! -e "$folder/strings_train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: FSDD=free-spoken-digit-dataset $0" >&2
    exit 2
fi
exec "${PYTHON:-python}" "$(dirname "$0")/loso.py" "$folder" "$@"
