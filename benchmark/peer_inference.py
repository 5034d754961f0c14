"""One process of benchmark/inference.py: the network of a CCNet_paddle checkout, as its predict.py runs it.

benchmark/peer_entry.py says how its packages are entered; the shims for its losses are not needed here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import add_measuring_flags, measure
from peer_entry import enter_packages


def load_network(args: argparse.Namespace) -> Any:
    """Builds the checkout's CCNet (recurrence 2, output stride 8) with the given weights."""
    import paddle

    from paddleseg.models import ccnet
    from paddleseg.models.backbones import resnet_vd

    network = ccnet.CCNet(
        args.classes,
        getattr(resnet_vd, args.backbone)(output_stride=8),
        recurrence=2,
        align_corners=args.align_corners,
    )
    missing, unexpected = network.set_state_dict(paddle.load(str(args.weights)))
    if missing or unexpected:
        sys.exit(f"{args.weights}: missing {missing}, unexpected {unexpected}")
    network.eval()
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="the checkout")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--align_corners", action="store_true")
    add_measuring_flags(parser)
    args = parser.parse_args()
    enter_packages(args.peer)
    import paddle

    network = load_network(args)

    def predict(image: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        with paddle.no_grad():
            logits = network(paddle.to_tensor(image))[0]
            return np.asarray(paddle.argmax(logits, axis=1, dtype="int32").numpy())

    measure(predict, args)


if __name__ == "__main__":
    main()
