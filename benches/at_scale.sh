#!/usr/bin/env bash
# How does a data folder behave with N people (ten fingers, one face each): import, bytes by column, opening, memory while
# checking, rebuilding? Prints one table. Synthetic people, seed 1.
#
#   benches/at_scale.sh 100000 /var/tmp/at-scale [BINARY]
#
# Takes about 40 KB of disk a person, as much again for a moment while backing up, and leaves the folder behind. Without
# BINARY the release build is used. SKIP="check backup rebuild" leaves these parts out.
# A folder that is there already is measured as it is, without the import.
set -euo pipefail
people=${1:?how many people}
home=${2:?a folder that is not there, or that holds what an earlier run made}
binary=${3:-target/release/duynhat}
checks=40
skip=" ${SKIP:-} "
data=$home/data
[ ! -e "$home" ] || [ -d "$data" ] || { echo "$home is there, and no data folder in it" >&2; exit 2; }
mkdir -p "$home"

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
row() { printf '%-34s %s\n' "$1" "$2"; }

row people "$people"
row "free disk before, GB" "$(df --output=avail -BG "$home" | tail -1 | tr -dc 0-9)"
if [ -d "$data" ]; then
    row "import" "was there already"
else
    start=$(now)
    # Processor seconds of the import too: others may use the machine.
    TIMEFORMAT='%U %S'
    used=$( { time "$binary" synth --people "$people" --seed 1 --data "$data" >/dev/null 2>"$home/import.err"; } 2>&1)
    seconds=$(since "$start")
    row "import, processor s, user and system" "$used"
    row "import, s" "$seconds"
    row "import, people/s" "$(awk -v n="$people" -v s="$seconds" 'BEGIN { printf "%.0f", n / s }')"
fi

"$binary" gallery stat --data "$data" --json >"$home/stat.json"
awk -v n="$people" '
    function value(key) { return match($0, "\"" key "\":[0-9.]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : "" }
    {
        printf "%-34s %.0f\n", "bytes/person, log", value("log_bytes") / n
        columns = substr($0, index($0, "\"column_bytes\""))
        while (match(columns, /"[a-z0-9-]+\.col":[0-9]+/)) {
            split(substr(columns, RSTART + 1, RLENGTH - 1), part, "\":")
            kind = part[1]; sub(/finger-[0-9]+-/, "fingers, ", kind); sub(/face-[0-9]+-/, "face, ", kind); sub(/\.col/, "", kind)
            sum[kind] += part[2]; total += part[2]
            columns = substr(columns, RSTART + RLENGTH)
        }
        for (kind in sum) printf "%-34s %.0f\n", "bytes/person, " kind, sum[kind] / n
        printf "%-34s %.0f\n", "bytes/person, columns", total / n
    }' "$home/stat.json" | sort
row "bytes/person, registry" "$(($(stat -c %s "$data/registry.sqlite") / people))"
row "bytes/person, all files" "$(($(du -sb "$data" | cut -f1) / people))"

# Others each time: who asked before in this folder is answered at once, with the answer of then.
first=$((people / 2 + checks * (RANDOM % (people / 4 / checks + 1))))
"$binary" synth --people "$checks" --first "$first" --first-encounter 1 --seed 1 --requests "$home/requests" >/dev/null
split -l 1 "$home/requests" "$home/request."

# serve NAME: starts a server, tells how long that took, and leaves its process and address in pid and url.
serve() {
    local start
    start=$(now)
    : >"$home/out"
    "$binary" serve --data "$data" --listen 127.0.0.1:0 --verify-mb-per-s 0 >"$home/out" 2>"$home/log" &
    pid=$!
    until grep -q listening "$home/out"; do
        kill -0 "$pid" || { cat "$home/log" >&2; exit 1; }
        sleep 0.01
    done
    row "$1, s" "$(since "$start")"
    url=$(grep -o 'http://[0-9.:]*' "$home/out")
}
memory() { awk '/^(VmRSS|RssAnon|RssFile)/ { printf "%s %.0f MB  ", $1, $2 / 1024 }' "/proc/$pid/status"; }
finish() { kill -TERM "$pid"; wait "$pid" || true; }

serve "open (clean), warm files"
row "memory after opening" "$(memory)"
for request in "$home"/request.*; do
    curl -sS -o /dev/null -w '%{time_total}\n' -H 'content-type: application/json' --data-binary "@$request" "$url/v1/checks"
done | sort -n >"$home/times"
row "check, s: median and largest of $checks" "$(awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)], t[NR] }' "$home/times")"
row "memory after $checks checks" "$(memory)"
start=$(now)
finish
row "stop, s" "$(since "$start")"
serve "open (clean) after checks"
kill -KILL "$pid"; wait "$pid" 2>/dev/null || true
serve "open after kill -9"
finish

wanted() { case $skip in *" $1 "*) return 1 ;; esac; }
if wanted check; then
    start=$(now)
    "$binary" gallery check --data "$data" >/dev/null
    row "check of everything, s" "$(since "$start")"
fi
if wanted backup; then
    start=$(now)
    "$binary" gallery backup --data "$data" "$home/backup" >/dev/null
    row "first backup, s" "$(since "$start")"
    start=$(now)
    "$binary" gallery backup --data "$data" "$home/backup" >/dev/null
    row "backup with nothing new, s" "$(since "$start")"
    rm -r "$home/backup"
fi
if wanted rebuild; then
    "$binary" gallery rebuild --data "$data" --json >"$home/rebuilt.json"
    row "rebuild" "$(tr -d '{}"' <"$home/rebuilt.json")"
    serve "open (clean) after the rebuild"
    finish
fi
