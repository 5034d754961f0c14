#!/usr/bin/env bash
# Trains, evaluates, exports and infers as a parameter file of TIPC says; prepare.sh comes first.
#   bash test_tipc/test_train_inference_python.sh PARAMETERS.txt MODE [GPU]
# GPU: the one that whole_infer and klquant_whole_infer use; 0 when omitted.
# Exit status: 0; 1 when a step failed (see results_python.log); 2 when the request makes no sense; 130 after Ctrl-C.
set -euo pipefail
# shellcheck source=test_tipc/common_func.sh
source "$(dirname "${BASH_SOURCE[0]}")/common_func.sh"

FAILED=0

# run_step NAME WORD…: runs a command, shows and keeps its output, writes its line. Fails when the command does.
run_step() {
    local log="$OUTPUT/$1.log" status=0 command
    shift
    command="$(show_command "$@")"
    say "$command"
    "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
    status_check "$status" "$command" "$STATUS_LOG"
    ((status == 0)) && return
    FAILED=$((FAILED + 1))
    return 1
}

# split NAME TEXT: the words of TEXT as the array NAME.
split() {
    local -n _split="$1"
    local text
    text="$(words "$2")"
    _split=()
    [[ -z "$text" ]] || mapfile -t _split <<<"$text"
}

# list NAME TEXT: the items of 'a|b' as the array NAME.
list() {
    local -n _list="$1"
    mapfile -t _list < <(items "$2")
}

# flags NAME KEY VALUE…: adds those 'KEY=VALUE' to the array NAME that are not null.
flags() {
    local -n _flags="$1"
    local text
    shift
    while (($#)); do
        text="$(flag "$1" "$2")"
        [[ -z "$text" ]] || _flags+=("$text")
        shift 2
    done
}

# cpu_flags NAME: adds to the array NAME what the programs get besides on a machine without a GPU.
cpu_flags() {
    local -n _cpu_flags="$1"
    local opts train_opts=()
    ((GPUS == 0)) || return 0
    split opts "$(extra cpu_opts "")"
    [[ "$MODE" != *_train_* ]] || split train_opts "$(extra cpu_train_opts "")"
    opts+=("${train_opts[@]}")
    ((${#opts[@]} == 0)) || _cpu_flags+=(--opts "${opts[@]}")
    _cpu_flags+=(--device cpu)
}

# gpu_prefix LIST: the words that make only these GPUs visible, one a line.
gpu_prefix() {
    if ((GPUS > 0)) && [[ "$1" != -1 ]]; then
        printf '%s\n' env "CUDA_VISIBLE_DEVICES=$1"
    fi
}

# Inference -----------------------------------------------------------------------------------------------

# infer DEVICE ENGINE MKLDNN_OR_TRT THREADS BATCH PRECISION: one run; MODEL_DIR and IMAGES say of what.
infer() {
    local device="$1" engine="$2" third="$3" threads="$4" batch="$5" precision="$6" name command prefix
    if [[ "$device" == cpu ]]; then
        name="python_infer_cpu_usemkldnn_${third}_threads_${threads}"
    else
        name="python_infer_gpu_usetrt_${third}"
    fi
    is_null "$engine" || name+="_engine_$engine"
    name+="_precision_${precision}_batchsize_${batch}"
    split command "$(value 40)"
    command=("$PYTHON" "${command[@]}")
    flags command "$(key 41)" "$device" "$(key 47)" "$MODEL_DIR/deploy.yaml" "$(key 48)" "$IMAGES" \
        "$(key 44)" "$batch" "$(key 46)" "$precision" "$(key 50)" "$(value 50)" --engine "$engine"
    if [[ "$device" == cpu ]]; then
        flags command "$(key 43)" "$threads"
        [[ "$engine" != null && "$engine" != paddle ]] || flags command "$(key 42)" "$third"
    else
        flags command "$(key 45)" "$third"
    fi
    flags command "$(key 51)" "$OUTPUT/${name}_results"
    ((${#PARAMS[@]} < 52)) || flags command "$(key 52)" "$(value 52)"
    mapfile -t prefix < <(gpu_prefix "$GPU")
    rm -rf -- "$OUTPUT/${name}_results"
    run_step "$name" "${prefix[@]}" "${command[@]}" || true
}

# Whether a device, an engine and a precision go together; where not, the reason is printed.
fits() {
    local device="$1" engine="$2" precision="$3" reason=""
    if [[ "$QUANTISED" == True && "$engine" == paddle ]]; then
        reason="the quantised model is ONNX"
    elif [[ "$device" == cpu && "$precision" == fp16 ]]; then
        reason="a CPU computes in fp32, bf16 or int8"
    elif [[ "$device" == gpu && "$engine" != null && "$engine" != paddle ]]; then
        reason="on a GPU the chain uses Paddle Inference"
    fi
    [[ -z "$reason" ]] || {
        say "Left out: $device, engine $engine, $precision: $reason"
        return 1
    }
}

# The precisions of line 46 that the model has: int8 for a quantised one, the others for the rest.
precisions() {
    if [[ "$QUANTISED" == True ]]; then
        echo int8
    else
        items "$(value 46)" | grep -v '^int8$' || echo fp32
    fi
}

# The devices of line 41 that are there, one a line.
present_devices() {
    local device found=()
    while IFS= read -r device; do
        case "$device" in
            cpu | False) found+=(cpu) ;;
            gpu | True) ((GPUS == 0)) || found+=(gpu) ;;
            *) die "line 41: device '$device': expected cpu or gpu" ;;
        esac
    done < <(items "$(value 41)")
    printf '%s\n' "${found[@]:-cpu}"
}

# infer_all MODEL_DIR IMAGES QUANTISED: every combination of the lists in the parameter file.
infer_all() {
    local device engine precision third threads batch
    local all_engines all_precisions thirds all_threads batches
    MODEL_DIR="$1" IMAGES="$2" QUANTISED="$3"
    mapfile -t all_precisions < <(precisions)
    list all_engines "$(extra infer_engine)"
    list batches "$(value 44)"
    for device in "${DEVICES[@]}"; do
        for engine in "${all_engines[@]}"; do
            list thirds "$(if [[ "$device" == gpu ]]; then value 45; else value 42; fi)"
            [[ "$device" == gpu || "$engine" == null || "$engine" == paddle ]] || thirds=(null)
            list all_threads "$(if [[ "$device" == gpu ]]; then echo null; else value 43; fi)"
            for precision in "${all_precisions[@]}"; do
                fits "$device" "$engine" "$precision" || continue
                for third in "${thirds[@]}"; do
                    for threads in "${all_threads[@]}"; do
                        for batch in "${batches[@]}"; do
                            infer "$device" "$engine" "$third" "$threads" "$batch" "$precision"
                        done
                    done
                done
            done
        done
    done
}

# The modes that start from trained weights ---------------------------------------------------------------

infer_trained_models() {
    local models exports quantised i folder program
    list models "$(value 37)"
    list exports "$(value 38)"
    list quantised "$(value 39)"
    for i in "${!models[@]}"; do
        folder="${models[i]}" program="${exports[i]:-null}"
        if ! is_null "$program"; then
            folder="$(dirname "${models[i]}")"
            export_model "export_$i" "$program" "${models[i]}" "$folder" || continue
        fi
        if [[ "$MODE" == klquant_whole_infer ]]; then
            quantise "$folder" && infer_all "$folder" "$(value 48)" True
        else
            infer_all "$folder" "$(value 48)" "${quantised[i]:-False}"
        fi
    done
}

# export_model NAME PROGRAM WEIGHTS FOLDER
export_model() {
    local command
    split command "$2"
    command=("$PYTHON" "${command[@]}")
    flags command "$(key 29)" "$3" "$(key 28)" "$4"
    cpu_flags command
    run_step "$1" "${command[@]}"
}

quantise() {
    local command
    split command "$(extra quantize slim/quant/ptq.py)"
    run_step quantise "$PYTHON" "${command[@]}" --config "$1/deploy.yaml" --calibration "$(value 48)"
}

# The modes that train ------------------------------------------------------------------------------------

train_all() {
    local gpus gpu devices autocasts autocast trainers trainer i
    list gpus "$(value 4)"
    list devices "$(value 5)"
    list autocasts "$(value 6)"
    list trainers "$(value 15)"
    if ((GPUS == 0)); then
        say "No GPU: training runs on the CPU, once for all of gpu_list"
        gpus=(-1) devices=(null)
    fi
    for i in "${!gpus[@]}"; do
        gpu="${gpus[i]}"
        [[ "$gpu" =~ ^(-1|[0-9]+(,[0-9]+)*)$ ]] ||
            die "line 4: gpu_list '$gpu': expected -1 or numbers with commas; several machines are not supported"
        for autocast in "${autocasts[@]}"; do
            if ((GPUS == 0)) && [[ "$autocast" =~ ^(amp|fp16|bf16)$ ]]; then
                say "Left out: $autocast: mixed precision needs a GPU"
                continue
            fi
            for trainer in "${trainers[@]}"; do
                train_once "$trainer" "$gpu" "${devices[i]:-null}" "$autocast"
            done
        done
    done
}

# train_once TRAINER GPUS DEVICE AUTOCAST: train, evaluate, export, infer; a step that fails ends it.
train_once() {
    local trainer="$1" cards="$2" device="$3" autocast="$4" line train="" exporter quantised=False folder weights
    for line in 17 18 19 20 21; do
        [[ "$trainer" != "$(key "$line")" ]] || train="$line"
    done
    line="${train:-16}" # any other name means the plain training, as norm and norm_train do
    train="$(value "$line")" exporter="$(value $((line + 14)))"
    ((line != 17)) || quantised=True
    is_null "$train" && return
    folder="$OUTPUT/${trainer}_gpus_${cards}_autocast_${autocast}"
    weights="$folder/$(value 11)"
    rm -rf -- "$folder"
    GPU="${cards%%,*}"
    run_train "$trainer" "$train" "$cards" "$device" "$autocast" "$folder" || return 0
    is_null "$(value 24)" || evaluate "$trainer" "$weights" "$device" || true
    is_null "$exporter" && return
    is_null "$(value 36)" || [[ "$(value 36)" == "##" ]] || folder+="/$(value 36)"
    export_model "export_$trainer" "$exporter" "$weights" "$folder" || return 0
    infer_all "$folder" "$(value 12)" "$quantised"
}

# run_train TRAINER PROGRAM GPUS DEVICE AUTOCAST FOLDER
run_train() {
    local command launcher=() prefix iters batch
    split command "$2"
    iters="$(of_mode "$(value 7)" "$MODE")" batch="$(of_mode "$(value 9)" "$MODE")"
    if ((GPUS == 0)); then
        iters="$(of_mode "$(extra cpu_iters "$iters")" "$MODE")"
        batch="$(of_mode "$(extra cpu_batch_size "$batch")" "$MODE")"
    fi
    [[ "$3" != *,* ]] || launcher=(-m paddle.distributed.launch)
    command=("$PYTHON" "${launcher[@]}" "${command[@]}")
    flags command "$(key 5)" "$4" "$(key 8)" "$6" "$(key 7)" "$iters" "$(key 9)" "$batch" \
        "$(key 10)" "$(value 10)" "$(key 13)" "$(value 13)"
    if [[ "$5" == amp ]]; then
        command+=(--precision=fp16)
    else
        flags command "$(key 6)" "$5"
    fi
    cpu_flags command
    mapfile -t prefix < <(gpu_prefix "$3")
    run_step "train_$1" "${prefix[@]}" "${command[@]}"
}

# evaluate TRAINER WEIGHTS DEVICE
evaluate() {
    local command prefix
    split command "$(value 24)"
    command=("$PYTHON" "${command[@]}")
    flags command "$(key 10)" "$2" "$(key 5)" "$3" "$(key 25)" "$(value 25)"
    cpu_flags command
    mapfile -t prefix < <(gpu_prefix "$GPU")
    run_step "eval_$1" "${prefix[@]}" "${command[@]}"
}

# ---------------------------------------------------------------------------------------------------------

(($# == 2 || $# == 3)) || die "usage: bash test_tipc/test_train_inference_python.sh PARAMETERS.txt MODE [GPU]"
MODE="$2" GPU="${3:-0}"
check_mode "$MODE"
load_params "$1"
cd "$TIPC_ROOT"
find_python "$(value 3)"
PRESENT="$(present_devices)"
mapfile -t DEVICES <<<"$PRESENT"
OUTPUT="./test_tipc/output/$(value 2)"
STATUS_LOG="$OUTPUT/results_python.log"
# A step's own status says nothing: a crash has one above 128, too.
trap 'exit 130' INT
mkdir -p "$OUTPUT"
printf -- '------------------------ %s ------------------------\n' "$MODE" >>"$STATUS_LOG"
if [[ "$MODE" == *_train_* ]]; then
    train_all
else
    infer_trained_models
fi
((FAILED == 0)) || {
    say "$FAILED steps failed; see $STATUS_LOG"
    exit 1
}
say "All steps ran; see $STATUS_LOG"
