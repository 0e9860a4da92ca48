#!/usr/bin/env bash
# A model of the lines of testaments and peraire, which their recipes go on from: TESTAMENTS=folder PERAIRE=folder,
# each with train.jsonl, dev.jsonl, test.jsonl and images. Arguments are settings of seqlab train.
set -euo pipefail
run=${RUN:-runs/french_lines}
first=${FIRST:-runs/testaments}
data=${SEQLAB_DATA:-data}
if [ -n "${TESTAMENTS:-}" ]; then seqlab prepare corpus=testaments corpus.prepare.root="$TESTAMENTS"; fi
if [ -n "${PERAIRE:-}" ]; then seqlab prepare corpus=peraire corpus.prepare.root="$PERAIRE"; fi
for corpus in testaments peraire; do
    if [ ! -e "$data/$corpus/train.jsonl" ]; then
        echo "no manifests in $data/$corpus; give both corpora: TESTAMENTS=folder PERAIRE=folder $0" >&2
        exit 2
    fi
done
train() { # train RUN SETTINGS: what was stopped goes on, what is done is left alone
    local to=$1
    shift
    if [ -e "$to/checkpoints/last.ckpt" ]; then set -- resume=true "$@"; fi
    seqlab train run_dir="$to" "$@"
}
train "$first" experiment=testaments
train "$run" experiment=french_lines init.model="$first" "$@"
for corpus in testaments peraire; do
    seqlab evaluate model="$run" decoder=greedy manifest="$data/$corpus/dev.jsonl" out="$run/evaluate/$corpus"
done
