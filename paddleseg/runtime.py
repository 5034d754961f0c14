"""Process settings that must be made before the framework is imported.

Measured with paddlepaddle 3.3.1: it computes with one OpenMP thread when ``OMP_NUM_THREADS`` is unset at
import, and its bundled math library takes a slow path on AMD processors unless ``MKL_DEBUG_CPU_TYPE`` is 5
(a 4096² matrix product: 39 → 207 GFLOP/s with both). On Intel processors the second setting makes the same
product slower (240 → 156 GFLOP/s), so it is made on AMD only. Both change low-order bits: a run records
:class:`RuntimeSettings`.

OpenMP threads that have nothing to do spin for 200 ms and take the cores from data workers and from other
processes meanwhile. With ``OMP_WAIT_POLICY=PASSIVE`` they sleep at once, but waking them makes a step of
ResNet18 a tenth slower. ``KMP_BLOCKTIME=1`` beside it lets them spin for one millisecond.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paddleseg.errors import UsageError

__all__ = ["RuntimeSettings", "available_cores", "configure", "cpu_model", "cpu_vendor", "import_framework"]

_FRAMEWORK = "paddle"
_THREADS = "OMP_NUM_THREADS"
_MKL_CPU_TYPE = "MKL_DEBUG_CPU_TYPE"
_WAITING = "OMP_WAIT_POLICY"
_INTELS_WAITING, _GNUS_WAITING = "KMP_BLOCKTIME", "GOMP_SPINCOUNT"
_NOISE = ("WARNING: OMP_NUM_THREADS set to", "PLEASE USE OMP_NUM_THREADS WISELY")


@dataclass(frozen=True)
class RuntimeSettings:
    """What was set for this process: for the log and the run's record.

    Attributes:
        threads: OpenMP threads that the framework uses.
        threads_from: Who chose them: the caller, the user's environment, or the number of cores.
        cores: Cores this process may use, after affinity and container limits.
        cpu_vendor: ``vendor_id`` of the processor; empty where the system does not tell.
        mkl_debug_cpu_type: Value of the variable of that name; None where it is unset.
        in_time: False when the framework was imported before, so that nothing could be set.
        omp_wait_policy: Value of the variable of that name; None where it is unset.
        kmp_blocktime: The same, for Intel's runtime.
        gomp_spincount: The same, for GNU's runtime.
    """

    threads: int
    threads_from: Literal["argument", "environment", "cores"]
    cores: int
    cpu_vendor: str
    mkl_debug_cpu_type: str | None
    in_time: bool
    omp_wait_policy: str | None = None
    kmp_blocktime: str | None = None
    gomp_spincount: str | None = None

    def describe(self) -> str:
        """Returns one line for the log."""
        variables = {
            _MKL_CPU_TYPE: self.mkl_debug_cpu_type,
            _WAITING: self.omp_wait_policy,
            _INTELS_WAITING: self.kmp_blocktime,
            _GNUS_WAITING: self.gomp_spincount,
        }
        shown = "".join(f", {name}={value}" for name, value in variables.items() if value)
        late = "" if self.in_time else ", not changed: the framework was imported before"
        return f"CPU threads: {self.threads} of {self.cores} cores (from {self.threads_from}){shown}{late}"


def configure(*, threads: int | None = None, processes: int = 1, launched: bool = False) -> RuntimeSettings:
    """Sets the threads and the math library's path for the framework that is imported afterwards.

    Values that the user put in the environment stay, but an explicit ``threads`` comes first.

    Args:
        threads: OpenMP threads of this process; None: the environment's, else an equal share of the cores.
        processes: How many processes of the same run share this machine.
        launched: Whether Paddle's launcher started this process. It imports the framework, which writes one
            thread into the environment that the processes inherit; so there, one is nobody's choice.

    Returns:
        What the framework will use. When it was imported before, nothing is changed and ``in_time`` is False.

    Raises:
        UsageError: ``threads`` or ``processes`` is below 1.
    """
    for name, value in (("threads", threads), ("processes", processes)):
        if value is not None and value < 1:
            raise UsageError(f"{name}={value}: expected at least 1")
    in_time = _FRAMEWORK not in sys.modules
    cores, vendor = available_cores(), cpu_vendor()
    chosen_by: Literal["argument", "environment", "cores"] = "environment"
    nobodys_choice = ("", "1") if launched else ("",)
    if in_time and threads is not None:
        chosen_by, os.environ[_THREADS] = "argument", str(threads)
    elif in_time and os.environ.get(_THREADS, "").strip() in nobodys_choice:
        chosen_by, os.environ[_THREADS] = "cores", str(max(1, cores // processes))
    if in_time and vendor == "AuthenticAMD":
        os.environ.setdefault(_MKL_CPU_TYPE, "5")
    if in_time and not any(name in os.environ for name in (_WAITING, _INTELS_WAITING, _GNUS_WAITING)):
        os.environ.update({_WAITING: "PASSIVE", _INTELS_WAITING: "1"})
    return RuntimeSettings(
        threads=_threads_in_environment(),
        threads_from=chosen_by,
        cores=cores,
        cpu_vendor=vendor,
        mkl_debug_cpu_type=os.environ.get(_MKL_CPU_TYPE),
        in_time=in_time,
        omp_wait_policy=os.environ.get(_WAITING),
        kmp_blocktime=os.environ.get(_INTELS_WAITING),
        gomp_spincount=os.environ.get(_GNUS_WAITING),
    )


def import_framework() -> None:
    """Imports Paddle without its advice on OpenMP threads and compiler caches; other messages stay.

    Raises:
        UsageError: Paddle is not installed.
    """
    for advice in ("No ccache found", "When training, we now always track global mean and variance"):
        warnings.filterwarnings("ignore", message=advice, category=UserWarning)
    with _without_noise():
        try:
            importlib.import_module(_FRAMEWORK)
        except ModuleNotFoundError as error:
            if error.name != _FRAMEWORK:
                raise
            raise UsageError(
                "PaddlePaddle is not installed in this Python environment; install the CPU build with "
                "`pip install 'paddleseg-ccnet[cpu]'`, or see README.md for the GPU build"
            ) from error


def available_cores(*, cgroup_root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> int:
    """Counts the cores that this process may really use.

    Args:
        cgroup_root: Where the control groups (version 1 or 2) are mounted.
        proc: Where the process file system is mounted.

    Returns:
        The smaller of the affinity mask and the container's CPU quota, rounded down; at least 1.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = _cgroup_quotas(cgroup_root, proc)
    return max(1, int(min([cores, *quotas])))


def cpu_vendor(*, proc: Path = Path("/proc")) -> str:
    """Returns the processor's ``vendor_id`` (``GenuineIntel``, ``AuthenticAMD``), or an empty string."""
    return _cpu_info("vendor_id", proc)


def cpu_model(*, proc: Path = Path("/proc")) -> str:
    """Returns the processor's ``model name``, or an empty string: its instructions decide low-order bits."""
    return _cpu_info("model name", proc)


def _cpu_info(wanted: str, proc: Path) -> str:
    for line in _read(proc / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == wanted:
            return value.strip()
    return ""


def _threads_in_environment() -> int:
    """Reads the variable as Paddle does: anything but one whole number means one thread."""
    try:
        return max(1, int(os.environ.get(_THREADS, "1")))
    except ValueError:
        return 1


def _cgroup_quotas(root: Path, proc: Path) -> list[float]:
    """CPU quotas, in cores, of this process's control group and of every group above it."""
    quotas = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            mounts, read_quota = [root, root / "unified"], _quota_v2
        elif "cpu" in controllers.split(","):
            mounts, read_quota = [root / "cpu", root / controllers], _quota_v1
        else:
            continue
        inside = Path(group.lstrip("/"))
        # Inside a container the path may be the host's: then only the mount's root exists.
        folders = [mount / part for mount in mounts for part in (inside, *inside.parents)]
        quotas += [quota for quota in map(read_quota, folders) if quota is not None]
    return quotas


def _quota_v2(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.max").split())


def _quota_v1(folder: Path) -> float | None:
    return _ratio([_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")])


def _ratio(quota_and_period: list[str]) -> float | None:
    """Quota over period; None for "max", "-1" or files that are not there."""
    if len(quota_and_period) != 2 or not all(text.isdigit() and int(text) > 0 for text in quota_and_period):
        return None
    quota, period = map(int, quota_and_period)
    return quota / period


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Holds back what Python code prints on stderr and passes on all lines but the framework's advice."""
    held = io.StringIO()
    try:
        with contextlib.redirect_stderr(held):
            yield
    finally:
        kept = [line for line in held.getvalue().splitlines(keepends=True) if not line.startswith(_NOISE)]
        sys.stderr.writelines(kept)
