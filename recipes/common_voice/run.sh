#!/usr/bin/env bash
# Common Voice: COMMON_VOICE=folder of one language. PREPARE: settings of seqlab prepare.
# Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/common_voice}
folder=${SEQLAB_DATA:-data}/common_voice
if [ -n "${COMMON_VOICE:-}" ]; then seqlab prepare corpus=common_voice corpus.prepare.root="$COMMON_VOICE" ${PREPARE:-}; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: COMMON_VOICE=folder $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=common_voice run_dir="$run" "$@"
seqlab evaluate model="$run"
