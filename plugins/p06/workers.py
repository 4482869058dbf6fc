"""Processes that parse and judge what this one has scanned, so that a large file is loaded on more than one core.

The scanner finds where records begin and end, in one pass, as it must: a quote may hide a line end. What it found goes
to the workers in turn, and comes back judged in the same order. A worker ends when its input does, so none outlives
its loader.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from typing import IO, Any, NoReturn

from p06.contract import Contract
from p06.csv_reader import CsvReader, parse
from p06.errors import P06Error
from p06.judge import Judge, Judged
from p06.limits import number
from p06.manifest import Manifest

LARGE = 64 << 20  # stated bytes from which workers are worth their start
_MOST = 4
_LIMIT = 64  # that may be stated
_PIPE = 1 << 20  # bytes a pipe holds: the most every user may ask for


def worth(manifest: Manifest) -> int:
    """How many workers a delivery deserves on this machine; ``P06_WORKERS`` states the most, 0 for none.

    Raises UsageError P06-CONFIG-001 when it is no whole number up to ``_LIMIT``.
    """
    stated = number("P06_WORKERS", least=0, most=_LIMIT)
    most = _helpers(len(os.sched_getaffinity(0))) if stated is None else stated
    large = sum(file.bytes for file in manifest.files) >= LARGE
    return most if large and manifest.format.kind == "csv" else 0


def _helpers(cores: int) -> int:
    """None on two cores, which this process and the database keep busy (measured: 1.24 with one helper, 1.19 without)."""
    return max(0, min(_MOST, cores - 2))


class Workers:
    """Some processes, started at first use. ``close`` ends them."""

    def __init__(self, contract: Contract, manifest: Manifest, signed: bool, count: int) -> None:
        self._setting = (contract, manifest, signed)
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    _close(stream)
        self._processes = []

    def judged(self, number: int, reader: CsvReader) -> Iterator[Judged]:
        """The blocks of a file in order. Raises what scanning raises; P06Error P06-LOAD-050 when a worker is gone."""
        if not self._processes:
            self._start()
        sending = _Sending(self._processes, number, reader)
        try:
            turn = 0
            while sending.waits_for(turn):
                yield self._receive(turn)
                turn += 1
        finally:
            sending.stop()
        if sending.error is not None:
            raise sending.error

    def _start(self) -> None:
        environment = os.environ | {"PYTHONHASHSEED": str(secrets.randbelow(2**32))}  # equal rows, equal hashes
        command = [sys.executable, "-P", "-m", "p06.workers"]  # -P: no module comes from the folder p06 was called in
        for place in range(1, self._count + 1):
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
                self._processes.append(process)
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with suppress(OSError):  # where the system allows less, pipes stay as they are
                            fcntl(stream, F_SETPIPE_SZ, _PIPE)
                _put(process.stdin, self._setting)
            except OSError:
                raise P06Error("P06-LOAD-050", worker=place) from None

    def _receive(self, turn: int) -> Judged:
        process = self._processes[turn % self._count]
        try:
            found = pickle.load(process.stdout)  # type: ignore[arg-type]
        except (EOFError, pickle.UnpicklingError, OSError):
            raise P06Error("P06-LOAD-050", worker=turn % self._count + 1) from None
        if isinstance(found, P06Error):
            raise found
        return found  # type: ignore[no-any-return]


class _Sending:
    """A thread that scans a file and gives each chunk to the worker whose turn it is."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], number: int, reader: CsvReader) -> None:
        self.error: BaseException | None = None
        self._processes, self._number, self._reader = processes, number, reader
        self._sent = 0
        self._done = self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="p06-scan", daemon=True)
        self._thread.start()

    def waits_for(self, turn: int) -> bool:
        """Whether an answer of that turn will come; waits until it is known."""
        with self._changed:
            self._changed.wait_for(lambda: self._sent > turn or self._done)
            return self._sent > turn

    def stop(self) -> None:
        """End the thread, wherever it is."""
        self._stopped = True
        if not self._done:
            for process in self._processes:  # else a worker whose answers nobody reads would hold the thread
                process.kill()
        self._thread.join()

    def _run(self) -> None:
        try:
            chunks = self._reader.chunks()
            for turn, chunk in enumerate(chunks):
                if self._stopped:
                    break
                with self._changed:
                    self._sent = turn + 1
                    self._changed.notify()
                _put(self._processes[turn % len(self._processes)].stdin, (self._number, *self._reader.layout, chunk))
        except BrokenPipeError:
            pass  # whoever waits for that answer tells
        except BaseException as error:
            self.error = error
        finally:
            chunks.close()  # type: ignore[attr-defined]
            with self._changed:
                self._done = True
                self._changed.notify()


def _put(stream: IO[bytes] | None, value: Any) -> None:
    if stream is not None:
        pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)
        stream.flush()


def _close(stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        stream.close()


def main() -> None:
    """A worker: settings first, then chunks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its loader is told, too, and ends it
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the answers are all that goes where the loader listens
    try:
        _serve(source, target)
    except (EOFError, pickle.UnpicklingError, BrokenPipeError):  # the loader is done, or gone
        os._exit(0)


def _serve(source: IO[bytes], target: IO[bytes]) -> NoReturn:
    """Answer until the input ends. Raises EOFError then, BrokenPipeError when nobody listens any more."""
    from p06 import token

    contract, manifest, signed = pickle.load(source)
    sign = token.record_signer(contract.source) if signed else None
    judge = Judge(contract, manifest.period, manifest.admin_code_version, sign)
    while True:
        number, dialect, columns, chunk = pickle.load(source)
        answer: Any
        try:
            found = judge.judge(number, parse(dialect, columns, chunk))
            answer = Judged(found.entries, found.rejected, pickle.PickleBuffer(found.data), found.rows, found.areas)
        except P06Error as error:
            answer = error
        except Exception as error:  # it may quote a row, so only its kind is told
            answer = P06Error("P06-LOAD-043", kind=f"{type(error).__module__}.{type(error).__name__}")
        _put(target, answer)


if __name__ == "__main__":
    main()
