#!/usr/bin/env bash
# A first run on a machine with a GPU, in at most TIME seconds (default 570): scripts/method/first_gpu_run.sh FOLDER [TIME]
#
# What matters most comes first; a step that no longer fits is left out, and each step's files are in FOLDER when it ends: a
# log, and one archive of all results. Needs neither git nor a network, torch alone beside this package's own needs.
# DEVICE=cpu tries the same steps without a GPU.
set -uo pipefail
out=${1:?folder to write to}
time=${2:-570}
device=${DEVICE:-cuda}
both=cpu
[ "$device" = cpu ] || both=cpu,$device
python=${PYTHON:-python3}
cd "$(dirname "$0")/../.." || exit 2
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/results"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}

left() { echo $((time - SECONDS)); }

say() { echo "$(printf '%4d' "$SECONDS") s  $*" | tee -a "$out/log.txt"; }

# step NAME LEAST MOST COMMAND...: left out where fewer than LEAST seconds are left; interrupted after MOST.
step() {
  local name=$1 least=$2 most=$3 status=0
  shift 3
  if (($(left) < least + 5)); then
    say "$name: left out, $(left) s are left"
    return
  fi
  ((most < $(left) - 5)) || most=$(($(left) - 5))
  timeout --signal=INT --kill-after=10 "$most" "$@" >"$work/results/$name.txt" 2>&1 || status=$?
  say "$name: status $status; $(tail -n 1 "$work/results/$name.txt" | cut -c 1-120)"
  tar -C "$work" -czf "$out/results.tar.gz.part" results && mv "$out/results.tar.gz.part" "$out/results.tar.gz"
}

sweep() { # NAME LEAST MOST OPTION...: a sweep that keeps what is finished when it is interrupted
  local name=$1 least=$2 most=$3
  shift 3
  step "$name" "$least" "$most" "$python" -m pytest benchmarks -q --benchmark-save="$name" \
    --benchmark-storage="file://$work/results/runs" "$@"
}

describe() {
  nvidia-smi -q || echo "no nvidia-smi"
  "$python" --version
  "$python" -m pip list || true
  cc --version || echo "no C compiler"
  "$python" -m mnv1.measure.environment
}

: >"$out/log.txt"
step describe 10 30 bash -c "$(declare -f describe); python=$python; describe"
step probe 30 90 "$python" scripts/method/gpu_probe.py --device "$device" --seconds 30 --out "$work/results/probe.json"
step tests 20 60 "$python" -m pytest -q -p no:benchmark tests/measure tests/cases -k "cuda or clock or throttl or environment"
sweep smoke 40 110 --profile smoke --devices "$both"
sweep gpu-network 40 120 --profile gpu --devices "$device" -k "model and (b1- or b256-)"
sweep gpu-layers 30 70 --profile gpu --devices "$device" -k "layer and (b1- or b256-)"
sweep training 30 60 --profile training --devices "$device" -k "a1.00 and b32-"
step page 10 20 "$python" scripts/plot_results.py "$work"/results/runs/*/*smoke*.json --out "$work/results/rendered"
modes=eager,compiled,graph,cuda-graph # compiling takes a minute, and an interrupted ladder stores nothing
[ "$device" = cpu ] && modes=eager,folded
step ladder 60 150 "$python" scripts/find_fastest.py --device "$device" --precisions fp32 --modes "$modes" --time-budget 25 \
  --json "$work/results/ladder.json"
step self-test 40 90 "$python" scripts/compare_revisions.py --base-python "$python" --head-python "$python" \
  --device "$device" --quick --json "$work/results/self-test.json"
sweep cold 20 40 --profile smoke --devices "$device" --cache cold -k model
say "done: $out/results.tar.gz"
