#!/usr/bin/env bash
# Peraire: PERAIRE=folder with train.jsonl, dev.jsonl, test.jsonl and images. EXPERIMENT=peraire_long for hours.
# Arguments are settings of seqlab train.
set -euo pipefail
experiment=${EXPERIMENT:-peraire}
run=${RUN:-runs/$experiment}
folder=${SEQLAB_DATA:-data}/peraire
if [ -n "${PERAIRE:-}" ]; then seqlab prepare corpus=peraire corpus.prepare.root="$PERAIRE"; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: PERAIRE=folder $0" >&2
    exit 2
fi
if [ "$experiment" = peraire_long ]; then # it goes on from the model of the first twenty minutes
    base=${BASE:-runs/peraire}
    if [ ! -e "$base/checkpoints/last.ckpt" ]; then seqlab train experiment=peraire run_dir="$base"; fi
    set -- init.model="$base" "$@"
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment="$experiment" run_dir="$run" "$@"
seqlab evaluate model="$run" decoder=greedy out="$run/evaluate/greedy"
seqlab tune "$run"
seqlab evaluate model="$run"
