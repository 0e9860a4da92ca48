#!/usr/bin/env bash
# Testaments: TESTAMENTS=folder with train.jsonl, dev.jsonl, test.jsonl and images. EXPERIMENT=testaments_long for hours.
# Arguments are settings of seqlab train.
set -euo pipefail
experiment=${EXPERIMENT:-testaments}
run=${RUN:-runs/$experiment}
folder=${SEQLAB_DATA:-data}/testaments
if [ -n "${TESTAMENTS:-}" ]; then seqlab prepare corpus=testaments corpus.prepare.root="$TESTAMENTS"; fi
if [ ! -e "$folder/train.jsonl" ]; then
    echo "no manifests in $folder; give the corpus: TESTAMENTS=folder $0" >&2
    exit 2
fi
if [ "$experiment" = testaments_long ]; then # it goes on from a model of testaments and peraire
    base=${BASE:-runs/french_lines}
    RUN=$base "$(dirname "$0")/../french_lines/run.sh"
    set -- init.model="$base" "$@"
fi
if [ -e "$run/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
seqlab train experiment="$experiment" run_dir="$run" "$@"
seqlab evaluate model="$run" decoder=greedy out="$run/evaluate/greedy"
seqlab tune "$run"
seqlab evaluate model="$run"
