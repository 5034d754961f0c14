"""Choosing convolution algorithms by trial, which cuDNN otherwise does by rules of thumb."""

from __future__ import annotations

from paddleseg.errors import DeviceError

__all__ = ["enable_gpu_autotune"]

_TRIAL_STEPS = (1, 10)  # first and last step in which Paddle times algorithms; then it keeps the fastest


def enable_gpu_autotune(device: str) -> None:
    """Lets Paddle time cuDNN's algorithms for each convolution in the first steps and keep the fastest.

    It pays where images have one size. The choice depends on timing, so low-order bits differ between runs.
    Paddle's choice of the memory layout, which belongs to the same settings, stays off: it changes the shapes
    that a network's own code sees.

    Args:
        device: Paddle's name of the device: ``cpu``, ``gpu:0``.

    Raises:
        DeviceError: The device is no GPU.
    """
    if not device.startswith("gpu"):
        raise DeviceError(
            f"gpu_autotune: true has no meaning on {device}, which has one algorithm for a convolution; "
            "set it to false, or use --device gpu"
        )
    from paddle.incubate import autotune

    autotune.set_config({"kernel": {"enable": True, "tuning_range": list(_TRIAL_STEPS)}})
