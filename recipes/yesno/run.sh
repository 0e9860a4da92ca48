#!/usr/bin/env bash
# yesno: YESNO=folder waves_yesno. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/yesno}
folder=${SEQLAB_DATA:-data}/yesno
if [ -n "${YESNO:-}" ]; then seqlab prepare corpus=yesno corpus.prepare.root="$YESNO"; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: YESNO=waves_yesno $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=yesno run_dir="$run" "$@"
seqlab evaluate model="$run"
