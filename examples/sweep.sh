#!/usr/bin/env bash
# A grid over learning rate and, for an optimizer with a memory, buffer size; a finished run is never repeated, so the
# sweep may be stopped and started again. Prints one line per point, the best first and what diverged last: the mean of
# the first metric of the suite's table, the point.
#
#   SUITE=digits OPT=adam_cm LRS="1e-3 3e-3" CAPACITIES="5 20" OUT=sweep examples/sweep.sh [more options of the command]
set -euo pipefail

suite=$(cmbench suites "${SUITE:-digits}" --opt "${OPT:-adam_cm}" --json)
columns=$(cmbench report --explain --json)
kind=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["kind"])' <<<"$suite")
[[ $suite == *'"capacity":'* ]] && capacities=${CAPACITIES:-5 20} || capacities=none

# A number to sort by, the smallest first, and the line without its point.
score='
import json, math, sys

columns, runs = json.loads(sys.argv[1])["columns"], json.load(sys.stdin)
unfinished = [run["status"] for run in runs if run["status"] != "completed"]
if unfinished:
    sys.exit(print("inf", unfinished[0], sep="\t"))
for column in columns:
    metric = column["key"].split()[0]
    if column["kind"] == runs[0]["kind"] and column["better"] and all(metric in run["metrics"] for run in runs):
        break
mean = math.fsum(run["metrics"][metric] for run in runs) / len(runs)
print(-mean if column["better"] == "higher" else mean, f"{mean:.4g} {metric}", sep="\t")
'
for lr in ${LRS:-3e-4 1e-3 3e-3}; do
    for capacity in $capacities; do
        point=("lr=$lr")
        [ "$capacity" = none ] || point+=("capacity=$capacity")
        results=$(cmbench "$kind" --suite "${SUITE:-digits}" --opt "${OPT:-adam_cm}" --out "${OUT:-sweep}" --json --quiet \
            "${point[@]/#/--set=}" "$@") || [ $? -eq 3 ]
        scored=$(python3 -c "$score" "$columns" <<<"$results")
        echo "$scored ${point[*]}"
    done
done | sort -g | cut -f 2
