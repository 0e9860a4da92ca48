#!/usr/bin/env bash
# LJ Speech: LJ_SPEECH=folder of metadata.csv and wavs. PREPARE: settings of seqlab prepare.
# Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/lj_speech}
folder=${SEQLAB_DATA:-data}/lj_speech
if [ -n "${LJ_SPEECH:-}" ]; then seqlab prepare corpus=lj_speech corpus.prepare.root="$LJ_SPEECH" ${PREPARE:-}; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: LJ_SPEECH=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=lj_speech run_dir="$run" "$@"
seqlab evaluate model="$run"
