#!/usr/bin/env bash
# Every table of the long-lag laboratory: hours of one core. Resumes by itself; log in $OUT/log.txt.
# Arguments go to every call of table.py, e.g. --processes 2 or --seeds 3.
set -euo pipefail
out=${OUT:-runs/long_lag}
here=$(dirname "$0")
mkdir -p "$out"
export OMP_NUM_THREADS=1
missed=0
table() {  # goes on where a bar is missed, and ends with its status
    "${PYTHON:-python}" "$here/table.py" --out "$out" "$@" 2>&1 | tee -a "$out/log.txt" || missed=$?
    if [ "$missed" -gt 1 ]; then exit "$missed"; fi
}

# all tasks, LSTM with today's learning rule; the cell and the rule of 1997 where they are to be shown
table --tasks temporal_order_6a temporal_order_6b adding reber two_sequence_3a two_sequence_3b two_sequence_3c "$@"
table --tasks multiplication lag_2b lag_2c continual_reber lag_2a "$@"
table --tasks temporal_order_6a --cells 1997 "$@"
table --tasks adding --cells 1997_adam "$@"
table --tasks adding --cells 1997 --set lag.outputs=linear "$@"
table --tasks adding --cells 1997 "$@"
# others beside them, each training up to half a CPU minute
brief=lag.max_cpu_minutes=0.5
table --tasks temporal_order_6a adding --cells lstm_cec peephole gru_chrono --seeds 5 "$@"
table --tasks temporal_order_6a adding --cells lstm_one gru rnn irnn --seeds 5 --set $brief "$@"
# endless strings with the net of 2000, and without its forget gates
table --tasks continual_reber --cells 2000 2000_no_forget_gate --seeds 5 --set lag.max_cpu_minutes=1.5 "$@"
# a lag of 5,000, once
table --tasks lag_2c --seeds 1 --set lag.task.lag=5000 encoder.cell.longest_lag=5000 "$@"
exit "$missed"
