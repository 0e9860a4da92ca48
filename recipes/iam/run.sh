#!/usr/bin/env bash
# IAM: IAM=folder of ascii, lines and the lists. PREPARE: settings of seqlab prepare, for instance
# "corpus.prepare.split=aachen-966 corpus.prepare.convention=D". Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/iam}
folder=${SEQLAB_DATA:-data}/iam
if [ -n "${IAM:-}" ]; then seqlab prepare corpus=iam corpus.prepare.root="$IAM" ${PREPARE:-}; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: IAM=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=iam run_dir="$run" "$@"
seqlab evaluate model="$run"
