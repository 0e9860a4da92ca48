#!/usr/bin/env bash
# Strings of real handwritten digits: prepare, train, evaluate, transcribe. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/written_digits}
data=${SEQLAB_DATA:-data}/written_digits
seqlab prepare corpus=written_digits ${PREPARE:-}   # PREPARE: settings of seqlab prepare
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=written_digits run_dir="$run" "$@"
seqlab evaluate model="$run"
unread=$(find "$data/lines/test" -type f | sort | sed -n 1p)
echo "transcript of $unread, digits that training never showed:"
seqlab transcribe "$run" "$unread"
