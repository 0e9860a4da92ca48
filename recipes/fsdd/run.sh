#!/usr/bin/env bash
# Free Spoken Digit Dataset: FSDD=folder of the repository. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/fsdd}
folder=${SEQLAB_DATA:-data}/fsdd
if [ -n "${FSDD:-}" ]; then seqlab prepare corpus=fsdd corpus.prepare.root="$FSDD"; fi
if [ ! -e "$folder/strings_train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: FSDD=free-spoken-digit-dataset $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=fsdd run_dir="$run" "$@"
seqlab evaluate model="$run"
