#!/usr/bin/env bash
# Synthetic spoken digits: prepare, train, evaluate, transcribe. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/spoken_digits}
data=${SEQLAB_DATA:-data}/spoken_digits
seqlab prepare corpus=spoken_digits ${PREPARE:-}   # PREPARE: settings of seqlab prepare
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=spoken_digits run_dir="$run" "$@"
seqlab evaluate model="$run"
unheard=$(find "$data/audio/test" -type f | sort | sed -n 1p)
echo "transcript of $unheard, a voice that training never heard:"
seqlab transcribe "$run" "$unheard"
