#!/usr/bin/env bash
# Training speed of one config, with the parameters and the log of PaddleSeg's benchmark:
#   CUDA_VISIBLE_DEVICES=0 bash benchmark/run_benchmark.sh RUN_MODE BATCH FP_ITEM MAX_ITER MODEL WORKERS [FLAGS]
# RUN_MODE: sp (one process) or mp (one a device). BATCH: images a process. FP_ITEM: fp32, fp16 or bf16.
# MODEL: a config below configs/, by its name without .yml, or its path. FLAGS: more flags of train.py.
# CUDA_VISIBLE_DEVICES lists the devices; without a GPU, mp starts as many processes on the CPU.
# TRAIN_LOG_DIR: folder of the log, the current one when unset.
# Exit status: 0; 1 when the training failed or logged no speed; 2 when the request makes no sense.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="${PYTHON:-python}"
SKIPPED=10 # first steps, which set up more than they compute

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# whole_number NAME VALUE LEAST: refuses what is not a whole number from LEAST.
whole_number() {
    if [[ ! "$2" =~ ^[0-9]+$ ]] || ((10#$2 < $3)); then
        die "$1 '$2': expected a whole number from $3"
    fi
}

# find_config MODEL: prints the config's path.
find_config() {
    local found
    if [[ -f "$1" ]]; then
        printf '%s\n' "$1"
        return
    fi
    found="$(find "$ROOT/configs" -name "$1.yml" -not -path '*/_base_/*' -print -quit)"
    [[ -n "$found" ]] || die "MODEL '$1': no such file, and no $1.yml below configs/"
    printf '%s\n' "$found"
}

# mean_ips LOG: samples a second of all processes together, as train.py counts them; nothing without a line of
# them. The first lines do not count where there are more.
mean_ips() {
    grep -o 'ips: [0-9.]*' "$1" | awk -v skipped="$SKIPPED" '
        { ips[NR] = $2 }
        END {
            first = NR > skipped ? skipped + 1 : NR
            for (i = first; i <= NR; i++) sum += ips[i]
            if (NR) printf "%.4f\n", sum / (NR - first + 1)
        }'
}

train() {
    local work="$1" command=("$PYTHON" -u "$ROOT/train.py")
    if [[ "$run_mode" == mp ]]; then
        local launch=("$PYTHON" -m paddle.distributed.launch --log_dir "$work/ranks")
        if "$PYTHON" -c 'import paddle, sys; sys.exit(not paddle.device.cuda.device_count())' 2>/dev/null; then
            launch+=(--devices "$devices")
        else
            launch+=(--nproc_per_node "$count")
        fi
        command=("${launch[@]}" "$ROOT/train.py")
    fi
    "${command[@]}" --config "$config" --batch_size "$batch_size" --precision "$fp_item" --iters "$max_iter" \
        --num_workers "$num_workers" --log_iters 1 --save_interval "$max_iter" --save_dir "$work/run" \
        "${flags[@]}" >"$log_file" 2>&1
}

(($# >= 6)) || die "expected RUN_MODE BATCH FP_ITEM MAX_ITER MODEL WORKERS, got $# values; see the head of ${BASH_SOURCE[0]}"
run_mode="$1" batch_size="$2" fp_item="$3" max_iter="$4" model_item="$5" num_workers="$6"
flags=("${@:7}")
[[ "$run_mode" == sp || "$run_mode" == mp ]] || die "RUN_MODE '$run_mode': expected sp or mp"
[[ "$fp_item" =~ ^(fp32|fp16|bf16)$ ]] || die "FP_ITEM '$fp_item': expected fp32, fp16 or bf16"
whole_number BATCH "$batch_size" 1
whole_number MAX_ITER "$max_iter" 1
whole_number WORKERS "$num_workers" 0
config="$(find_config "$model_item")"
devices="${CUDA_VISIBLE_DEVICES:-0}"
IFS=, read -ra listed <<<"$devices"
count="${#listed[@]}"
[[ "$run_mode" == mp ]] || count=1

model_name="$(basename "$model_item" .yml)"
log_folder="${TRAIN_LOG_DIR:-$PWD}"
mkdir -p "$log_folder"
log_file="$log_folder/${model_name}_${run_mode}_bs${batch_size}_${fp_item}_${count}"
model_name="${model_name}_bs${batch_size}_${fp_item}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
status=0 ips=
train "$work" || status=$?
[[ "$run_mode" == sp || ! -f "$work/ranks/workerlog.0" ]] || cp "$work/ranks/workerlog.0" "$log_file"
if ! ((status)); then
    ips="$(mean_ips "$log_file")" || true # grep found nothing
fi
if [[ -z "$ips" ]]; then
    tail -n 20 "$log_file" >&2
    ((status)) || printf "error: %s: no line with 'ips:'\n" "$log_file" >&2
    printf '%s, FAIL\n' "$model_name"
    exit 1
fi
printf '%s, SUCCESS\n' "$model_name"
printf 'ips: %s samples/sec\n' "$ips"
printf '{"log_file": "%s", "model_name": "%s", "run_mode": "%s", "index": 1, "gpu_num": %d, ' \
    "$log_file" "$model_name" "$run_mode" "$count"
printf '"FINAL_RESULT": %s, "UNIT": "samples/sec", "JOB_FAIL_FLAG": 0}\n' "$ips"
