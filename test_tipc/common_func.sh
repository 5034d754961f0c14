#!/usr/bin/env bash
# Shared by prepare.sh and test_train_inference_python.sh, which source it.
# Sets TIPC_ROOT, the checkout; the two scripts make it the current folder.

TIPC_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck disable=SC2034  # the scripts use it
readonly TIPC_ROOT
readonly TIPC_MODES=(
    lite_train_lite_infer lite_train_whole_infer whole_train_whole_infer whole_infer klquant_whole_infer
)
# Lines that only a file in TIPC's order has there, blank lines not counted.
readonly TIPC_LANDMARKS=(
    "2 model_name" "3 python" "4 gpu_list" "11 train_model_name" "15 trainer" "24 eval" "37 infer_model" "40 inference"
)
readonly TIPC_COMMAND_LINES=(16 17 18 19 20 21 24 30 31 32 33 34 35 40)
readonly TIPC_FEWEST_LINES=51

say() { printf '==> %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || die "bash $BASH_VERSION: version 4.4 or later is needed"

# check_mode MODE
check_mode() {
    local mode
    for mode in "${TIPC_MODES[@]}"; do
        [[ "$1" == "$mode" ]] && return
    done
    die "mode '$1': expected one of ${TIPC_MODES[*]}"
}

# load_params FILE: reads the parameter file into PARAMS, and its extra_params into EXTRA_PARAMS.
# Carriage returns at the ends of lines go when trim takes a value.
load_params() {
    local file="$1" landmark line number in_extra=false
    [[ -f "$file" && -r "$file" ]] || die "$file: no such parameter file; see test_tipc/configs"
    PARAMS=() EXTRA_PARAMS=()
    while IFS= read -r line || [[ -n "$line" ]]; do
        [[ -z "${line//[[:space:]]/}" ]] && continue
        [[ "$line" == =*extra_params=* ]] && in_extra=true
        if $in_extra; then EXTRA_PARAMS+=("$line"); else PARAMS+=("$line"); fi
    done <"$file"
    ((${#PARAMS[@]} >= TIPC_FEWEST_LINES)) ||
        die "$file: ${#PARAMS[@]} lines that are not blank, expected at least $TIPC_FEWEST_LINES in TIPC's order"
    for landmark in "${TIPC_LANDMARKS[@]}"; do
        number="${landmark% *}"
        [[ "$(key "$number")" == "${landmark#* }" ]] ||
            die "$file: line $number (blank ones not counted) is '${PARAMS[number - 1]}', expected '${landmark#* }:…'"
    done
    [[ "$(value 2)" =~ ^[A-Za-z0-9][A-Za-z0-9_.-]*$ ]] ||
        die "$file: line 2: model_name '$(value 2)' becomes a folder's name: use letters, digits, '.', '_' and '-'"
    for number in "${TIPC_COMMAND_LINES[@]}"; do
        words "$(value "$number")" >/dev/null
    done
}

# key N, value N: what is before and after the first colon of line N.
key() { printf '%s\n' "${PARAMS[$1 - 1]%%:*}"; }

value() {
    local line="${PARAMS[$1 - 1]:-}"
    [[ "$line" == *:* ]] || line=":null"
    trim "${line#*:}"
}

# extra NAME [DEFAULT]: a value of extra_params.
extra() {
    local line
    for line in "${EXTRA_PARAMS[@]}"; do
        if [[ "$line" == "$1:"* ]]; then
            trim "${line#*:}"
            return
        fi
    done
    printf '%s\n' "${2-null}"
}

trim() {
    local text="$1"
    text="${text#"${text%%[![:space:]]*}"}"
    printf '%s\n' "${text%"${text##*[![:space:]]}"}"
}

# of_mode TEXT MODE: the value of MODE in 'mode=value|mode=value', TEXT itself where it names no mode.
of_mode() {
    local part
    if [[ "$1" != *=* ]]; then
        printf '%s\n' "$1"
        return
    fi
    while IFS= read -r part; do
        if [[ "${part%%=*}" == "$2" ]]; then
            printf '%s\n' "${part#*=}"
            return
        fi
    done < <(items "$1")
    echo null
}

# items LIST: the items of 'a|b', one a line.
items() { tr '|' '\n' <<<"$1"; }

is_null() { [[ -z "$1" || "$1" == null ]]; }

# flag KEY VALUE: 'KEY=VALUE', or nothing where one of them is null.
flag() {
    is_null "$1" || is_null "$2" || printf '%s=%s\n' "$1" "$2"
}

# words TEXT: the words of a command line, one a line. Quotes work as in a shell; nothing is evaluated.
words() {
    xargs -r -n 1 printf '%s\n' <<<"$1" 2>/dev/null || die "cannot split into words (is a quote left open?): $1"
}

# show_command WORD…: a line that can be pasted into a shell.
show_command() {
    local word line=""
    for word in "$@"; do
        [[ "$word" =~ ^[A-Za-z0-9_./:=,+@%-]+$ ]] || word="${word@Q}"
        line+="${line:+ }$word"
    done
    printf '%s\n' "$line"
}

# status_check STATUS COMMAND LOG: writes a step's line, and prints it.
status_check() {
    local word="failed"
    (($1 == 0)) && word="successfully"
    printf 'Run %s with command - %s!\n' "$word" "$2" | tee -a "$3"
}

# find_python NAME, in TIPC_ROOT: sets PYTHON to the first interpreter that runs and has Paddle, and GPUS to what it can use.
find_python() {
    local candidate tried=()
    for candidate in "$1" .venv/bin/python python3 python3.{12,11,10,13,14} python; do
        command -v "$candidate" >/dev/null || continue
        if GPUS="$(gpu_count "$candidate")"; then
            PYTHON="$candidate"
            say "Python: $PYTHON ($("$PYTHON" --version 2>&1)); GPUs that Paddle can use: $GPUS"
            return
        fi
        tried+=("$candidate")
    done
    die "no Python with PaddlePaddle (tried ${tried[*]:-none}); pip install -e '.[cpu,deploy]', or name one in line 3"
}

gpu_count() {
    "$1" - 2>/dev/null <<'PYTHON'
import paddle

print(paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0)
PYTHON
}
