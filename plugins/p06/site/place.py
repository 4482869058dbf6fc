"""Where the pages lie: a folder of their own, shown by one rename, so that a reader never sees half a site."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from p06.errors import P06Error, UsageError

MARK = ".p06-site"  # the file that tells a folder of ours, and what it was made of
KEPT = 2  # folders: the one that is shown, and the one before for whoever still reads it


def check(to: Path) -> None:
    """Raises UsageError P06-SITE-001 when something that is no site of ours stands there."""
    if to.is_symlink():
        if not to.exists() or (to / MARK).is_file():
            return
    elif not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    raise UsageError("P06-SITE-001")


def shown_mark(to: Path) -> str | None:
    """What the site that is shown was made of; None when there is none."""
    try:
        return (to / MARK).read_text("utf-8")
    except OSError:
        return None


def show(to: Path, files: Mapping[str, bytes], mark: str) -> bool:
    """Write the files beside their place and show them in one rename; whether anything changed.

    The folder is named by its content: equal content is already there. Raises UsageError P06-SITE-001, P06Error
    P06-SITE-002 when the folder cannot be written.
    """
    check(to)
    name = f".{to.name}-"
    folder = to.with_name(name + _digest(files)[:16])
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _alone(to):
            if not (folder / MARK).is_file():
                _write(folder, files, mark)
            elif (folder / MARK).read_text("utf-8") != mark:
                _put(folder / MARK, mark.encode())
            changed = not to.is_symlink() or to.readlink() != Path(folder.name)
            if changed:
                if to.is_dir() and not to.is_symlink():
                    to.rmdir()
                draft = to.with_name(f"{name}{os.getpid()}.link")
                draft.unlink(missing_ok=True)
                draft.symlink_to(folder.name)
                draft.replace(to)
            _tidy(to, name, folder)
    except OSError as error:
        raise P06Error("P06-SITE-002", reason=error.strerror) from error
    return changed


def _write(folder: Path, files: Mapping[str, bytes], mark: str) -> None:
    draft = folder.with_name(f"{folder.name}.{os.getpid()}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for path, content in files.items():
            target = draft / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (draft / MARK).write_text(mark, "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def _tidy(to: Path, name: str, shown: Path) -> None:
    """Drop folders nobody reads any more, and drafts of processes that died; under the lock nobody else writes."""
    others = [path for path in to.parent.glob(f"{name}*") if path.is_dir() and path != shown]
    finished = sorted((path for path in others if (path / MARK).is_file() and not path.name.endswith(".draft")),
                      key=lambda path: path.stat().st_mtime, reverse=True)  # fmt: skip
    for path in [*finished[KEPT - 1 :], *(path for path in others if path not in finished)]:
        shutil.rmtree(path, ignore_errors=True)
    for path in to.parent.glob(f"{name}*.link"):
        path.unlink(missing_ok=True)


@contextmanager
def _alone(to: Path) -> Iterator[None]:
    """One writer at a time; the lock goes with the process."""
    with (to.parent / f".{to.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
