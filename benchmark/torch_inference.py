"""One process of benchmark/inference.py: the network of benchmark/torch_network.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measuring import add_measuring_flags, measure
from torch_network import DEPTHS, CCNet, load_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help=".npz file")
    parser.add_argument("--backbone", choices=sorted(DEPTHS), required=True)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--align_corners", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    add_measuring_flags(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network = CCNet(args.backbone, args.classes, args.align_corners).eval()
    load_weights(network, args.weights)

    @torch.inference_mode()
    def predict(image: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        return network(torch.from_numpy(image))[0].argmax(1).numpy()

    measure(predict, args)


if __name__ == "__main__":
    main()
