# Shared by quickstart.sh, test.sh and .ci/run, which source it: makes .venv and installs into it.
# Sets PROJECT_ROOT (and makes it the current folder) and VENV_PYTHON. pip's own variables are respected.

PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV_PYTHON="$PROJECT_ROOT/.venv/bin/python"
cd "$PROJECT_ROOT"

say() { printf '\n==> %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# A Python that the pinned PaddlePaddle has wheels for.
supported() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

# Prints the interpreter to build .venv with: $PYTHON, or the first that fits.
find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        supported "$PYTHON" || die "PYTHON=$PYTHON does not run or is not Python 3.10, 3.11 or 3.12"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.10 python; do
        if supported "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.10, 3.11 or 3.12 is needed, and none was found (python3 is: $(python3 --version 2>&1 ||
        echo missing)); install one, or name it: PYTHON=/path/to/python3.11 bash ${0##*/}"
}

make_venv() {
    local python
    if supported "$VENV_PYTHON" && "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python="$(find_python)"
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv ||
        die "cannot make .venv; on Debian and Ubuntu the module comes with: apt-get install python3-venv"
}

# Names the set of requirements that a profile ("main" or "test") stands for.
requirements_hash() {
    "$VENV_PYTHON" - "$1" requirements.txt setup.py scripts/common.sh <<'PYTHON'
import hashlib, pathlib, sys

content = b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[2:])
print(hashlib.sha256(sys.argv[1].encode() + content).hexdigest())
PYTHON
}

# Prints "gpu" where the GPU build is installed, or where there is a GPU and pip finds that build.
paddle_build() {
    if "$VENV_PYTHON" -m pip show -q paddlepaddle-gpu >/dev/null 2>&1; then
        echo gpu
    elif ! "$VENV_PYTHON" -m pip show -q paddlepaddle >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then
        say "An NVIDIA GPU is here: looking for paddlepaddle-gpu" >&2
        if "$VENV_PYTHON" -m pip install -e '.[gpu]' >&2; then
            echo gpu
        else
            say "pip knows no index with paddlepaddle-gpu: the CPU build it is. README.md says how to use the GPU" >&2
            echo cpu
        fi
    else
        echo cpu
    fi
}

# prepare_venv PROFILE: makes .venv and installs what the profile ("main" or "test") needs, unless that was done.
prepare_venv() {
    local profile="$1" extras stamp wanted
    make_venv
    stamp=".venv/.installed-$profile"
    wanted="$(requirements_hash "$profile")"
    if [[ -f "$stamp" && "$(cat "$stamp")" == "$wanted" ]]; then
        say ".venv is up to date"
        return
    fi
    say "Installing into .venv (a few minutes the first time)"
    extras="$(paddle_build)"
    if [[ "$profile" == test ]]; then
        extras+=",test"
    fi
    "$VENV_PYTHON" -m pip install -e ".[$extras]" || die "installation failed; pip's message above says why"
    printf '%s\n' "$wanted" >"$stamp"
}
