#!/usr/bin/env bash
# A language model of characters, for the recogniser of a corpus: MODEL=runs/testaments CORPUS=testaments are the defaults.
# If there is no such model, nothing but the training is done. Arguments are settings of seqlab train.
set -euo pipefail
corpus=${CORPUS:-testaments}
model=${MODEL:-runs/$corpus}
run=${RUN:-runs/${corpus}_lm}
folder=${SEQLAB_DATA:-data}/$corpus
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; run recipes/$corpus/run.sh first" >&2
    exit 2
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=char_lm corpus="$corpus" run_dir="$run" "$@"
seqlab lm score "$run" "$folder/dev.jsonl"
if [ -d "$model" ]; then
    seqlab tune "$model" --neural "$run"
    seqlab evaluate model="$model" out="$model/evaluate/neural"
fi
