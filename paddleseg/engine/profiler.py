"""Paddle's profiler over some iterations of a run."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import paddle
from paddle import profiler

from paddleseg import distributed
from paddleseg.engine.profiler_options import ProfilerOptions
from paddleseg.engine.trainer import Hook, Trainer
from paddleseg.errors import DeviceError, OutputError
from paddleseg.files import write_whole
from paddleseg.log import get_logger

__all__ = ["ProfilerHook"]

_FOLDER, _SUMMARY = "profiler", "summary.txt"
_LINES_SHOWN = 25
_ORDERS = {"total": "Total", "max": "Max", "min": "Min", "ave": "Avg"}
_logger = get_logger(__name__)


class ProfilerHook(Hook):
    """Profiles iterations of the main process, then ends the run if the options say so.

    Leaves a trace for Chrome's viewer or VisualDL and ``summary.txt`` in the folder, and the costliest
    operators in the log. Comes before the hook that saves, which looks at ``stop_reason``.

    Args:
        options: What to profile.
        save_dir: Folder of the run.

    Raises:
        DeviceError: A trace of the GPU is asked for and the run is not on one.
        OutputError: The folder cannot be made.
    """

    def __init__(self, options: ProfilerOptions, *, save_dir: Path) -> None:
        self._options = options
        self._folder = Path(options.profile_path) if options.profile_path else save_dir / _FOLDER
        self._steps = 0
        on_gpu = "gpu" in paddle.get_device()
        if options.state == "GPU" and not on_gpu:
            raise DeviceError(
                f"--profiler_options: state=GPU, but the run is on {paddle.get_device()}; use CPU or All"
            )
        ordered_by_gpu = on_gpu and options.state != "CPU"
        self._order = ("GPU" if ordered_by_gpu else "CPU") + _ORDERS[options.sorted_key]
        self._profiler = self._make_profiler(on_gpu) if distributed.is_main() else None

    def _make_profiler(self, on_gpu: bool) -> profiler.Profiler:
        options = self._options
        if options.timer_only:
            return profiler.Profiler(timer_only=True)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be made: {error.strerror}") from error
        names = {"CPU": ["CPU"], "GPU": ["GPU"], "All": ["CPU", "GPU"] if on_gpu else ["CPU"]}[options.state]
        return profiler.Profiler(
            targets=[profiler.ProfilerTarget[name] for name in names],
            scheduler=options.batch_range,
            on_trace_ready=profiler.export_chrome_tracing(str(self._folder), worker_name="rank_0"),
            record_shapes=options.tracer_option == "AllOpDetail",
        )

    def before_run(self, trainer: Trainer) -> None:
        if self._profiler is not None:
            self._profiler.start()

    def after_step(self, trainer: Trainer) -> None:
        first, end = self._options.batch_range
        self._steps += 1
        if self._profiler is not None:
            self._profiler.step(trainer.batch_size)
            if self._steps == first:
                self._profiler.step_info()  # begins its means anew
            if self._steps == end:
                self._finish(self._profiler)
                self._profiler = None
        if self._steps == end and self._options.exit_on_finished:
            trainer.stop_reason = f"profiled iterations {first} to {end - 1} of this process"

    def after_run(self, trainer: Trainer) -> None:
        if self._profiler is not None:
            self._profiler.stop()
            _logger.warning(
                f"[PROFILE] the run ended after {self._steps} iterations, before the end of batch_range="
                f"{list(self._options.batch_range)}: the profile is not complete"
            )

    def _finish(self, used: profiler.Profiler) -> None:
        first, end = self._options.batch_range
        _logger.info(f"[PROFILE] iterations {first} to {end - 1}: {used.step_info().strip()}")
        used.stop()
        if self._options.timer_only:
            return
        overview, operators = (
            self._summary(used, view)
            for view in (profiler.SummaryView.OverView, profiler.SummaryView.OperatorView)
        )
        write_whole(self._folder / _SUMMARY, (overview + operators).encode())
        for line in operators.strip().splitlines()[:_LINES_SHOWN]:
            _logger.info(line.rstrip())
        _logger.info(f"[PROFILE] trace and {_SUMMARY} in {self._folder}")

    def _summary(self, used: profiler.Profiler, view: profiler.SummaryView) -> str:
        """Paddle prints its tables only."""
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            used.summary(
                sorted_by=profiler.SortedKeys[self._order],
                op_detail=self._options.tracer_option != "Default",
                views=[view],
            )
        return text.getvalue()
