#!/usr/bin/env bash
# Makes ready what test_train_inference_python.sh needs: the data set and, to infer alone, trained weights.
#   bash test_tipc/prepare.sh PARAMETERS.txt MODE [CITYSCAPES_FOLDER] [--url ADDRESS]
# --url: a tar archive with leftImg8bit and gtFine in place of Paddle's.
set -euo pipefail
# shellcheck source=test_tipc/common_func.sh
source "$(dirname "${BASH_SOURCE[0]}")/common_func.sh"

readonly USAGE="usage: bash test_tipc/prepare.sh PARAMETERS.txt MODE [CITYSCAPES_FOLDER] [--url ADDRESS]"
readonly TARGET=test_tipc/data/prepared
readonly LITE_URL=https://paddleseg.bj.bcebos.com/tipc/data/cityscapes_20imgs.tar
readonly WHOLE_URL=https://paddleseg.bj.bcebos.com/dataset/cityscapes.tar
readonly LITE_TRAIN=20 LITE_VAL=5

parse_arguments() {
    local positional=()
    URL=""
    while (($#)); do
        case "$1" in
            --url)
                (($# > 1)) || die "--url: expected an address; $USAGE"
                URL="$2"
                shift 2
                ;;
            -*) die "unknown flag $1; $USAGE" ;;
            *)
                positional+=("$1")
                shift
                ;;
        esac
    done
    ((${#positional[@]} == 2 || ${#positional[@]} == 3)) || die "$USAGE"
    CONFIG="${positional[0]}" MODE="${positional[1]}" FOLDER="${positional[2]:-}"
    check_mode "$MODE"
    load_params "$CONFIG"
    [[ -z "$FOLDER" ]] || FOLDER="$(realpath -m -- "$FOLDER")"
}

# Stops early where the export would fail for want of a package after the training.
check_packages() {
    [[ "$(value 30) $(value 38)" =~ --format[=\ ](all|onnx) ]] || return 0
    "$PYTHON" -c 'import onnxruntime, paddle2onnx' 2>/dev/null ||
        die "$PYTHON lacks onnxruntime or paddle2onnx, which the export to ONNX needs: pip install -e '.[deploy]'"
}

prepare_data() {
    local options=(--target "$TARGET") url="$WHOLE_URL"
    if [[ "$MODE" == lite_train_* ]] || ((GPUS == 0)); then
        options+=(--train "$LITE_TRAIN")
        url="$LITE_URL"
    fi
    if [[ "$MODE" == *lite_infer ]] || ((GPUS == 0)); then
        options+=(--val "$LITE_VAL")
    elif [[ "$MODE" == *whole_infer ]]; then
        url="$WHOLE_URL"
    fi
    [[ -z "$FOLDER" ]] || options+=(--source "$FOLDER")
    "$PYTHON" test_tipc/prepare_files.py data "${options[@]}" --url "${URL:-$url}"
}

prepare_weights() {
    local model
    while IFS= read -r model; do
        if [[ "$model" == *.pdparams ]]; then
            "$PYTHON" test_tipc/prepare_files.py weights --target "$model" --url "$(extra infer_model_url)"
        fi
    done < <(items "$(value 37)")
}

parse_arguments "$@"
cd "$TIPC_ROOT"
find_python "$(value 3)"
((GPUS > 0)) || say "No GPU: $MODE will run on the CPU, with small pictures and few of them (see test_tipc/README.md)"
check_packages
prepare_data
if [[ "$MODE" == whole_infer || "$MODE" == klquant_whole_infer ]]; then
    prepare_weights
fi
say "Ready. Next: bash test_tipc/test_train_inference_python.sh $(show_command "$CONFIG" "$MODE")"
