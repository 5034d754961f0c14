from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from paddleseg import runtime
from paddleseg.errors import UsageError


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty environment on an Intel machine with 8 cores where the framework is not imported yet."""
    variables: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", variables)
    monkeypatch.delitem(sys.modules, "paddle", raising=False)
    monkeypatch.setattr(runtime, "available_cores", lambda: 8)
    monkeypatch.setattr(runtime, "cpu_vendor", lambda: "GenuineIntel")
    return variables


def test_uses_all_cores_by_default(environ: dict[str, str]) -> None:
    settings = runtime.configure()
    assert environ["OMP_NUM_THREADS"] == "8"
    assert "MKL_DEBUG_CPU_TYPE" not in environ
    assert settings == runtime.RuntimeSettings(
        8, "cores", 8, "GenuineIntel", None, in_time=True, omp_wait_policy="PASSIVE", kmp_blocktime="1"
    )
    assert (
        settings.describe()
        == "CPU threads: 8 of 8 cores (from cores), OMP_WAIT_POLICY=PASSIVE, KMP_BLOCKTIME=1"
    )


@pytest.mark.parametrize(("processes", "threads"), [(1, 8), (2, 4), (3, 2), (16, 1)])
def test_processes_share_the_cores(environ: dict[str, str], processes: int, threads: int) -> None:
    assert runtime.configure(processes=processes).threads == threads
    assert environ["OMP_NUM_THREADS"] == str(threads)


def test_the_users_environment_stays(environ: dict[str, str]) -> None:
    environ["OMP_NUM_THREADS"] = "3"
    settings = runtime.configure(processes=2)
    assert environ["OMP_NUM_THREADS"] == "3"
    assert (settings.threads, settings.threads_from) == (3, "environment")


@pytest.mark.parametrize(("launched", "threads"), [(True, 4), (False, 1)])
def test_the_launchers_one_thread_is_nobodys_choice(
    environ: dict[str, str], launched: bool, threads: int
) -> None:
    environ["OMP_NUM_THREADS"] = "1"
    assert runtime.configure(processes=2, launched=launched).threads == threads


def test_an_argument_comes_before_the_environment(environ: dict[str, str]) -> None:
    environ["OMP_NUM_THREADS"] = "3"
    settings = runtime.configure(threads=5)
    assert environ["OMP_NUM_THREADS"] == "5"
    assert (settings.threads, settings.threads_from) == (5, "argument")


@pytest.mark.parametrize("text", ["4,2", "many", "-2", "0"])
def test_reports_one_thread_where_the_framework_falls_back_to_one(environ: dict[str, str], text: str) -> None:
    environ["OMP_NUM_THREADS"] = text
    assert runtime.configure().threads == 1


def test_amd_gets_the_fast_path_of_the_math_library(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_vendor", lambda: "AuthenticAMD")
    settings = runtime.configure()
    assert environ["MKL_DEBUG_CPU_TYPE"] == settings.mkl_debug_cpu_type == "5"
    assert "MKL_DEBUG_CPU_TYPE=5" in settings.describe()


def test_amd_keeps_the_users_choice(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "cpu_vendor", lambda: "AuthenticAMD")
    environ["MKL_DEBUG_CPU_TYPE"] = "7"
    assert runtime.configure().mkl_debug_cpu_type == environ["MKL_DEBUG_CPU_TYPE"] == "7"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT"])
def test_the_users_way_of_waiting_stays(environ: dict[str, str], name: str) -> None:
    environ[name] = "0"
    settings = runtime.configure()
    assert environ[name] == "0"
    found = (settings.omp_wait_policy, settings.kmp_blocktime, settings.gomp_spincount)
    names = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
    assert found == tuple("0" if one == name else None for one in names)
    assert settings.describe().endswith(f"(from cores), {name}=0")


def test_too_late_changes_nothing_and_says_so(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paddle", sys)
    monkeypatch.setattr(runtime, "cpu_vendor", lambda: "AuthenticAMD")
    settings = runtime.configure(threads=5)
    assert not environ.keys() & {"OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"}
    assert (settings.threads, settings.mkl_debug_cpu_type, settings.in_time) == (1, None, False)
    assert settings.describe().endswith("not changed: the framework was imported before")


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_refuses_less_than_one(environ: dict[str, str], name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}=0: expected at least 1"):
        runtime.configure(**{name: 0})


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the process file system and the control groups, with an affinity mask of 8 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "cgroup").mkdir()
    return tmp_path


def cores(system: Path) -> int:
    return runtime.available_cores(cgroup_root=system / "cgroup", proc=system / "proc")


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_cores_without_control_groups_are_the_affinity_mask(system: Path) -> None:
    assert cores(system) == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("300000 100000", 3),
        ("250000 100000", 2),
        ("5000 100000", 1),
        ("1600000 100000", 8),
    ],
)
def test_quota_of_version_2(system: Path, quota: str, expected: int) -> None:
    write(system / "proc/self/cgroup", "0::/job/step\n")
    write(system / "cgroup/job/step/cpu.max", quota + "\n")
    assert cores(system) == expected


def test_the_tightest_group_above_counts(system: Path) -> None:
    write(system / "proc/self/cgroup", "0::/job/step\n")
    write(system / "cgroup/job/cpu.max", "200000 100000\n")
    write(system / "cgroup/job/step/cpu.max", "400000 100000\n")
    assert cores(system) == 2


def test_a_container_sees_its_own_group_at_the_mount(system: Path) -> None:
    write(system / "proc/self/cgroup", "0::/docker/0123\n")
    write(system / "cgroup/cpu.max", "400000 100000\n")
    assert cores(system) == 4


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("300000", 3)])
def test_quota_of_version_1(system: Path, mount: str, quota: str, expected: int) -> None:
    write(system / "proc/self/cgroup", "5:memory:/other\n4:cpu,cpuacct:/job\n")
    write(system / "cgroup" / mount / "job/cpu.cfs_quota_us", quota + "\n")
    write(system / "cgroup" / mount / "job/cpu.cfs_period_us", "100000\n")
    assert cores(system) == expected


def test_vendor_and_model_are_read_from_the_first_processor(system: Path) -> None:
    write(system / "proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: EPYC\n")
    assert runtime.cpu_vendor(proc=system / "proc") == "AuthenticAMD"
    assert runtime.cpu_model(proc=system / "proc") == "EPYC"


def test_vendor_is_empty_where_the_system_does_not_tell(system: Path) -> None:
    assert runtime.cpu_vendor(proc=system / "proc") == ""
    write(system / "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n")
    assert runtime.cpu_vendor(proc=system / "proc") == runtime.cpu_model(proc=system / "proc") == ""


@pytest.fixture
def framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that stands for the framework; the test writes it."""
    monkeypatch.setattr(runtime, "_FRAMEWORK", "stand_in_framework")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stand_in_framework", raising=False)
    return tmp_path / "stand_in_framework.py"


def test_import_hides_the_thread_advice_only(framework: Path, capsys: pytest.CaptureFixture[str]) -> None:
    framework.write_text(
        "import sys, warnings\n"
        "print('WARNING: OMP_NUM_THREADS set to 2, not 1. Slow.', file=sys.stderr)\n"
        "print('PLEASE USE OMP_NUM_THREADS WISELY.', file=sys.stderr)\n"
        "print('WARNING: the driver is too old', file=sys.stderr)\n"
        "print('hello')\n"
    )
    runtime.import_framework()
    captured = capsys.readouterr()
    assert captured.err == "WARNING: the driver is too old\n"
    assert captured.out == "hello\n"
    assert "stand_in_framework" in sys.modules


def test_a_missing_framework_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_FRAMEWORK", "no_such_framework")
    with pytest.raises(UsageError, match=r"pip install 'paddleseg-ccnet\[cpu\]'"):
        runtime.import_framework()


def test_a_framework_that_misses_something_else_is_not_called_missing(framework: Path) -> None:
    framework.write_text("import no_such_dependency\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        runtime.import_framework()


@pytest.mark.slow
def test_the_real_framework_starts_silently_with_the_threads_set(root_dir: Path) -> None:
    program = (
        "import os, sys\n"
        "from paddleseg import runtime\n"
        "assert 'paddle' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert runtime.configure(threads=2).in_time\n"
        "runtime.import_framework()\n"
        "print(sys.modules['paddle'].__name__, os.environ['OMP_NUM_THREADS'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root_dir, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "paddle 2\n", "")


def test_the_frameworks_advice_is_not_shown() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        runtime.import_framework()
        warnings.warn("When training, we now always track global mean and variance.")
        warnings.warn("No ccache found. Please be aware …")
        warnings.warn("something else")
    assert [str(warning.message) for warning in seen] == ["something else"]
