#!/usr/bin/env bash
# IAM-OnDB: IAM_ONLINE=folder of lineStrokes, ascii and the four lists. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/iam_online}
folder=${SEQLAB_DATA:-data}/iam_online
if [ -n "${IAM_ONLINE:-}" ]; then seqlab prepare corpus=iam_online corpus.prepare.root="$IAM_ONLINE"; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: IAM_ONLINE=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=iam_online run_dir="$run" "$@"
seqlab evaluate model="$run"
