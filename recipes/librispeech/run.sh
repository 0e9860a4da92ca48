#!/usr/bin/env bash
# LibriSpeech: LIBRISPEECH=folder with the subsets; CORPUS=librispeech_mini (librispeech_100, _360, _960) for a part.
# PREPARE: settings of seqlab prepare, for instance corpus.prepare.download=true. Arguments are settings of seqlab train.
set -euo pipefail
corpus=${CORPUS:-librispeech}
run=${RUN:-runs/$corpus}
folder=${SEQLAB_DATA:-data}/$corpus
if [ -n "${LIBRISPEECH:-}" ]; then seqlab prepare corpus="$corpus" corpus.prepare.root="$LIBRISPEECH" ${PREPARE:-}; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: LIBRISPEECH=LibriSpeech $0" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=librispeech corpus="$corpus" run_dir="$run" "$@"
seqlab evaluate model="$run"
