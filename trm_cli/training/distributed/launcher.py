"""Launch a command as several processes on this machine and return their exit status. Standard library only.

The processes get a session of their own: Ctrl-C reaches the launcher alone, and each of them exactly once through it (a
second one means "at once"). When one fails, the others cannot continue: they get a few seconds to notice, then are
killed, which does no harm to a checkpoint. When the launcher itself is killed, they are killed with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from trm_cli.ending_signals import die_with_parent, ending_signals, handled
from trm_cli.errors import ExitCode, UsageError
from trm_cli.training.distributed.process_group import check_divides

#: Holds the launcher's process id in the processes that it starts.
LAUNCHER = "TRM_LAUNCHER"
#: Holds the end of a pipe into which a process writes how it lost contact: printed where no better reason is known.
_REASONS = "TRM_LAUNCHER_REASONS"
#: Exit status of a process that ends because another one has.
LOST_CONTACT = 76
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_HINT = "hint: the same command, or `trm resume RUN`, continues from the last checkpoint"


def launched_by_us() -> bool:
    """Whether this process was started by `launch`."""
    return LAUNCHER in os.environ


def follow_launcher() -> None:
    """Die with the launcher (where the system offers that): an orphan would keep the run directory locked."""
    if not launched_by_us() or not sys.platform.startswith("linux"):
        return
    die_with_parent()
    if os.getppid() != int(os.environ[LAUNCHER]):
        os._exit(LOST_CONTACT)  # it died before we asked


def report_reason(reason: str) -> None:
    """Report to the launcher how this process lost contact; it prints the best of all reasons."""
    with suppress(OSError):  # it is gone itself
        os.write(int(os.environ[_REASONS]), f"{reason}\n".encode())


def wants_launch(global_batch_size: int, count: int | None, *, trains: bool = True) -> bool:
    """Whether `count` processes are to be started that do the work of this one. None: not asked for.

    Raises UsageError for a number of them that cannot share a batch, and under another launcher.
    """
    if count is None or launched_by_us():
        return False
    if "RANK" in os.environ:
        raise UsageError(
            "--nproc-per-node starts the processes itself, and a launcher has started this one",
            hint="leave --nproc-per-node out under torchrun or srun",
        )
    check_divides(global_batch_size, count)
    return count > 1 and trains


def launch(command: Sequence[str], count: int, notify: Callable[[str], None]) -> int:
    """Run `command` as ranks 0 .. count-1 and return the exit status for the whole: 0 when all of them ended well."""
    port = _free_port()
    reader, writer = os.pipe()
    processes: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        for process in processes:
            process.send_signal(number)

    with handled(forward, signal.SIGINT, *ending_signals(), signal.SIGUSR1):
        try:
            for rank in range(count):
                processes.append(_start(command, rank, count, port, writer))
            codes = _watch(processes)
            os.write(writer, b"\n")  # an empty reason where there is none: the pipe is never waited for
            reason = os.read(reader, 65_536).decode(errors="replace").splitlines()[0]
        finally:
            for process in processes:
                process.kill()  # does nothing to one that has ended
            for process in processes:
                process.wait()
            os.close(reader)
            os.close(writer)
    return _exit_status(codes, received, reason, notify)


def _start(command: Sequence[str], rank: int, count: int, port: int, reasons: int) -> subprocess.Popen[bytes]:
    place = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        LAUNCHER: os.getpid(),
        _REASONS: reasons,
    }
    environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
    # Without a terminal of its own only the first process could ask something, and none of them does.
    return subprocess.Popen(
        list(command), env=environment, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=(reasons,)
    )


def _watch(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Wait for all; once one has failed, a few seconds more for the others. Exit statuses in the order of the ends."""
    ended: dict[int, int] = {}
    failed_at: float | None = None
    while len(ended) < len(processes):
        for rank, process in enumerate(processes):
            if rank not in ended and (code := process.poll()) is not None:
                ended[rank] = code
                if code and failed_at is None:
                    failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _GRACE_SECONDS:
            for rank, process in enumerate(processes):
                if rank not in ended:
                    process.kill()
                    process.wait()
                    ended[rank] = LOST_CONTACT
        time.sleep(_POLL_SECONDS)
    return list(ended.values())


def _exit_status(codes: Sequence[int], received: Sequence[int], reason: str, notify: Callable[[str], None]) -> int:
    """One exit status for all: that of the first process that failed on its own. reason: how contact was first lost."""
    own = [code for code in codes if code not in (0, LOST_CONTACT)]
    killed = [-code for code in own if code < 0]
    unasked = [number for number in killed if number not in received]
    if unasked:
        name = signal.Signals(unasked[0]).name if unasked[0] in set(signal.Signals) else f"signal {unasked[0]}"
        guess = " (out of memory?)" if name == "SIGKILL" else ""
        notify(f"error: a process of this run was killed by {name}{guess}; the others were stopped")
        notify(_HINT)
        return ExitCode.FAILED
    ended = [code for code in own if code > 0]
    if ended:
        return ended[0]
    if killed:
        return 128 + killed[0]  # as a shell says it: we were asked to end before there was anything to save
    if not any(codes):
        return ExitCode.DONE
    notify(f"error: {reason or 'the processes of this run lost contact with each other'}")
    notify(_HINT)
    return ExitCode.FAILED


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
