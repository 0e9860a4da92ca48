#!/usr/bin/env bash
# Pendigits: PENDIGITS=folder of pendigits-orig.tra and .tes, or of their manifests. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/pendigits}
folder=${SEQLAB_DATA:-data}/pendigits
if [ -n "${PENDIGITS:-}" ]; then seqlab prepare corpus=pendigits corpus.prepare.root="$PENDIGITS"; fi
if [ ! -e "$folder/strings_train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: PENDIGITS=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=pendigits run_dir="$run" "$@"
seqlab evaluate model="$run"
