#!/usr/bin/env bash
# A grid over learning rate and buffer size; a finished run is never repeated, so the sweep may be stopped and started
# again. Prints one line per point, the best first: mean validation accuracy (0 where a run diverged), point.
#
#   OUT=sweep OPT=adam_cm LRS="1e-3 3e-3" CAPACITIES="5 20" examples/sweep.sh [more options of cmbench train]
set -euo pipefail

mean='
import json, sys
found = [run["metrics"].get("val_accuracy_best") for run in json.load(sys.stdin)]
print(f"{sum(found) / len(found):.2f}" if all(found) else "0")
'
for lr in ${LRS:-3e-4 1e-3 3e-3}; do
    for capacity in ${CAPACITIES:-5 20}; do
        results=$(cmbench train --suite "${SUITE:-digits}" --opt "${OPT:-adam_cm}" --out "${OUT:-sweep}" --json --quiet \
            --set "lr=$lr" --set "capacity=$capacity" "$@") || [ $? -eq 3 ]
        echo "$(python3 -c "$mean" <<<"$results") lr=$lr capacity=$capacity"
    done
done | sort -rn
