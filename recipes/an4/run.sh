#!/usr/bin/env bash
# AN4: AN4=folder of etc and wav, or a folder to load it into with PREPARE=corpus.prepare.download=true.
# Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/an4}
folder=${SEQLAB_DATA:-data}/an4
if [ -n "${AN4:-}" ]; then seqlab prepare corpus=an4 corpus.prepare.root="$AN4" ${PREPARE:-}; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: AN4=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=an4 run_dir="$run" "$@"
seqlab evaluate model="$run"
