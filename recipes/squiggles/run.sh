#!/usr/bin/env bash
# Simulated nanopore currents: prepare, train, evaluate, transcribe. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/squiggles}
data=${SEQLAB_DATA:-data}/squiggles
seqlab prepare corpus=squiggles ${PREPARE:-}   # PREPARE: settings of seqlab prepare
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment=squiggles run_dir="$run" "$@"
seqlab evaluate model="$run"
unread=$(find "$data/reads/test" -type f | sort | sed -n 1p)
echo "bases of $unread:"
seqlab transcribe "$run" "$unread"
