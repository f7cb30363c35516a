#!/usr/bin/env bash
# What a GPU makes of training, editing and small cells, in at most 8 minutes: JSON lines in $OUT (./out), a table last.
# SIZE=small is a dry run on a CPU at tiny size, in about 2 minutes. PYTHON names the interpreter.
set -u
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:-./out} SIZE=${SIZE:-full} PYTHON=${PYTHON:-python}
export PYTHONPATH="$here/../..:$here${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$OUT"

part() { # name, most seconds: a part that is cut off or fails leaves its lines, and the next one runs
  timeout "$2" "$PYTHON" "$here/gpu_$1.py" --size "$SIZE" --out "$OUT" || echo "gpu_$1.py ended with $?" >&2
}

part training 90
part editor 230
part cells 155
"$PYTHON" "$here/gpu_table.py" "$OUT" | tee "$OUT/gpu.md"
