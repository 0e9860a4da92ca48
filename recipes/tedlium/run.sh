#!/usr/bin/env bash
# TED-LIUM: TEDLIUM=folder TEDLIUM_release-3. PREPARE: settings of seqlab prepare.
# Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/tedlium}
folder=${SEQLAB_DATA:-data}/tedlium
if [ -n "${TEDLIUM:-}" ]; then seqlab prepare corpus=tedlium corpus.prepare.root="$TEDLIUM" ${PREPARE:-}; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: TEDLIUM=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=tedlium run_dir="$run" "$@"
seqlab evaluate model="$run"
