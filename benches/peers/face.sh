#!/bin/sh
# Face search against FAISS, usearch and numpy: the same files, the same minute, one and two cores.
# usage: benches/peers/face.sh [ROWS [DECAY]]     (default 1000000 150; `inf` is a flat spectrum)
# Needs python3 with venv, and about 6 GB of memory for a million rows.
set -eu
rows=${1:-1000000}
decay=${2:-150}
here=$(cd "$(dirname "$0")" && pwd)
work=${DUYNHAT_PEERS:-$here/../../target/peers}
mkdir -p "$work/data"
if [ ! -x "$work/venv/bin/python" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q numpy faiss-cpu usearch
fi
cargo build -q --release --manifest-path "$here/../../Cargo.toml" -p duynhat-benches --bin face_search
ours=$here/../../target/release/face_search
"$ours" --rows "$rows" --decay "$decay" --queries 1000 --write "$work/data"
for threads in 1 2; do
    OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads \
        "$work/venv/bin/python" "$here/face.py" "$ours" "$work/data" "$threads"
done
