#!/usr/bin/env bash
# From nothing to predictions: .venv, demo data, training, evaluation, export, prediction with the exported model.
# Run it again: whatever is finished is used as it is. To start over, delete output/quickstart and data/demo_cityscapes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

CONFIG=configs/quick_start/ccnet_resnet18_demo.yml
DATA=data/demo_cityscapes
OUTPUT=output/quickstart

# once FOLDER COMMAND…: runs the command that fills FOLDER, unless an earlier run finished it with this config.
once() {
    local marker="$1/.quickstart-done"
    shift
    if [[ -f "$marker" && ! "$CONFIG" -nt "$marker" ]]; then
        echo "finished before, used as it is: ${marker%/*}"
        return
    fi
    echo "$*"
    "$@"
    touch "$marker"
}

prepare_venv main

say "1/5 Demo data set → $DATA"
"$VENV_PYTHON" tools/make_demo_dataset.py --output "$DATA"

say "2/5 Training → $OUTPUT"
once "$OUTPUT" "$VENV_PYTHON" train.py --config "$CONFIG" --do_eval --use_vdl --save_interval 150 \
    --save_dir "$OUTPUT"

say "3/5 Evaluation → $OUTPUT/val"
once "$OUTPUT/val" "$VENV_PYTHON" val.py --config "$CONFIG" --model_path "$OUTPUT/best_model/model.pdparams" \
    --save_dir "$OUTPUT/val"

say "4/5 Export → $OUTPUT/export"
once "$OUTPUT/export" "$VENV_PYTHON" export.py --config "$CONFIG" --model_path "$OUTPUT/best_model/model.pdparams" \
    --save_dir "$OUTPUT/export"

say "5/5 Prediction with the exported model → $OUTPUT/predictions"
once "$OUTPUT/predictions" "$VENV_PYTHON" deploy/python/infer.py --config "$OUTPUT/export/deploy.yaml" \
    --image_path "$DATA/leftImg8bit/val" --save_dir "$OUTPUT/predictions"

say "Finished. Everything is in $PROJECT_ROOT/$OUTPUT"
cat <<TEXT
  pictures   $OUTPUT/predictions (colours), $OUTPUT/val (confusion matrix, worst images)
  metrics    $OUTPUT/val/metrics.json
  log        $OUTPUT/train.log
  curves     .venv/bin/visualdl --logdir $OUTPUT --disable-telemetry
TEXT
