#!/usr/bin/env bash
# TIMIT: TIMIT=folder of TRAIN and TEST. EXPERIMENT=timit_2013 for the network of Graves et al. 2013.
# Arguments are settings of seqlab train.
set -euo pipefail
experiment=${EXPERIMENT:-timit}
run=${RUN:-runs/$experiment}
folder=${SEQLAB_DATA:-data}/timit
if [ -n "${TIMIT:-}" ]; then seqlab prepare corpus=timit corpus.prepare.root="$TIMIT"; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: TIMIT=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment="$experiment" run_dir="$run" "$@"
seqlab evaluate model="$run"
