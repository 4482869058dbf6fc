"""A backup of the whole warehouse while it works, and its return to an empty home.

What is copied is the embedded server as PostgreSQL's own base backup, with its checksums, the keys, and what pulls have
noted; landing when asked. A backup is written beside its place and moved there when it is whole; a restore works in a
hidden folder of the home, and nothing starts from a home in which one has not finished.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from p06 import database, fault, seal
from p06.errors import Busy, P06Error, UsageError
from p06.settings import settings

Report = Callable[[str], None]

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "postgres"
_WITH_LANDING = "landing"
_ALWAYS = ("secrets", "pulls")
_RESTORABLE = (_WITH_LANDING, "pulls", "secrets", DATABASE)  # in the order in which they reach the home
_KEYS = {"token.key": "token_key_file", "signing.key": "signing_key_file"}
_OF_THE_SERVER_COPIED = (".s.PGSQL.*", ".handle_pids.json", "log", "backup_manifest")  # nothing to the restored one
_ROOM = 64 * 2**20  # beside what is counted: write-ahead log of the meantime
_RECOVERY = 6 * 3600.0  # seconds


@dataclass(frozen=True)
class Backup:
    """What a whole backup holds. ``head`` is the newest entry of the ledger's chain when it began."""

    folder: Path
    made_at: str
    bytes: int
    files: int
    landing: bool
    head: str | None

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**self.__dict__, "folder": str(self.folder)}


def backup(folder: Path, landing: bool = False, report: Report = lambda text: None) -> Backup:
    """Copy the warehouse into a new folder; readers, loads and releases go on meanwhile.

    Raises UsageError P06-BACKUP-001 for a server of one's own, P06-BACKUP-002 when the folder is there already;
    Busy P06-BACKUP-003 when another backup writes to it; P06Error P06-BACKUP-004 when the disk is full, 005 when the
    server could not be copied, 006 when a key changed meanwhile.
    """
    _embedded_only()
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("P06-BACKUP-002")
    database.ensure_running()
    with _full_disk_told(), _draft(folder) as draft:
        size = _database_size()
        _demand(draft, size + _ROOM)
        report(f"copying {size / 2**20:,.0f} MB of database")
        head, keys = _head(), _keys()
        _base_backup(draft / DATABASE)
        fault.point("backup.copied")
        for name in (*_ALWAYS, *((_WITH_LANDING,) if landing else ())):
            source = _landing() if name == _WITH_LANDING else settings().home / name
            if source.is_dir():
                report(f"copying {name}")
                _copy_tree(source, draft / name)
        for name, content in keys.items():
            database.write_secret(draft / "secrets" / name, content)
        if _keys() != keys:
            raise P06Error("P06-BACKUP-006")
        report("checking every checksum")
        files = {name: _checksum(draft / name) for name in _files(draft)}
        _compare_with_server(draft / DATABASE, files)
        told = {
            "format": FORMAT,
            "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "p06": version("p06"),
            "landing": landing,
            "head": head,
            "files": files,
        }
        _write(draft / MANIFEST, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")
        fault.point("backup.written")
        os.sync()
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
        _sync_folder(folder.parent)
    fault.point("backup.done")
    return _read(folder)


def restore(folder: Path, report: Report = lambda text: None) -> tuple[Backup, seal.Verdict]:
    """Bring a backup back into an empty home, start the server and check the ledger's chain.

    Raises UsageError P06-BACKUP-001 for a server of one's own, P06-BACKUP-007 when the home is not empty; P06Error
    P06-BACKUP-008 when the backup is not whole or not as it was written, 009 when a key lies where the settings name it
    that is not the backup's, 010 when the restored server does not start, 004 when the disk is full.
    """
    _embedded_only()
    home, folder = settings().home, folder.absolute()
    with _full_disk_told():
        report("checking every checksum")
        known = _read(folder)
        _check(folder)
        home.mkdir(parents=True, exist_ok=True)
        _demand_empty(home)
        with _only(home / database.RESTORING):
            try:
                _demand_empty(home)
            except UsageError:  # another restore has just finished: its home starts
                _remove(home / database.RESTORING)
                raise
            _restore(folder, home, known, report)
    with database.connect("admin", autocommit=True) as connection:
        return known, seal.verify(connection, known.head)


def _demand_empty(home: Path) -> None:
    """Nothing is in the home but what an unfinished restore left. Raises UsageError P06-BACKUP-007."""
    found = {path.name for path in home.iterdir()} - {database.RESTORING}
    if found - (set(_RESTORABLE) if (home / database.RESTORING / MANIFEST).is_file() else set()):
        raise UsageError("P06-BACKUP-007")


def _restore(folder: Path, home: Path, known: Backup, report: Report) -> None:
    """Everything into the hidden folder, the database recovered there, then each part to its place in one step."""
    work = home / database.RESTORING
    for path in work.iterdir():  # what an earlier try left
        if path.name != _LOCK:
            _remove(path)
    for name in _RESTORABLE:
        _remove(home / name)
    _write(work / MANIFEST, (folder / MANIFEST).read_bytes())
    fault.point("restore.started")
    _demand(work, known.bytes + _ROOM)
    report(f"copying {known.bytes / 2**20:,.0f} MB")
    parts = [name for name in _RESTORABLE if (folder / name).is_dir()]
    for name in parts:
        _copy_tree(folder / name, work / name)
    if "secrets" in parts:
        _place_keys(work / "secrets")
    fault.point("restore.copied")
    report("starting the database once, to bring it to the end of the backup")
    _recover(work / DATABASE)
    os.sync()
    fault.point("restore.recovered")
    for name in parts:
        (work / name).rename(home / name)
    _sync_folder(home)
    fault.point("restore.moved")
    _remove(work)
    _sync_folder(home)


def _embedded_only() -> None:
    if settings().database_url is not None:
        raise UsageError("P06-BACKUP-001")


def _landing() -> Path:
    """Landing when it is a folder; a store elsewhere has its own backup."""
    stated = settings().landing
    return Path(stated) if "://" not in stated else Path(os.devnull)


def _head() -> str | None:
    """The newest entry of the chain, read as it stands; checking it is for ``p06 verify``."""
    with database.connect("admin", autocommit=True) as connection:
        row = connection.execute("select entry_no, mac from control.seal order by entry_no desc limit 1").fetchone()
    return f"{row[0]}:{bytes(row[1]).hex()}" if row else None


def _keys() -> dict[str, bytes]:
    """The two keys under the names they have in a home, wherever the settings say they lie."""
    found = {}
    for name, setting in _KEYS.items():
        path: Path = getattr(settings(), setting)
        if path.is_file():
            found[name] = path.read_bytes()
    return found


def _place_keys(secrets: Path) -> None:
    """Keys whose place is not in the home go there, unless the same one lies there already."""
    for name, setting in _KEYS.items():
        place: Path = getattr(settings(), setting)
        held = secrets / name
        if place == settings().home / "secrets" / name or not held.is_file():
            continue
        if place.is_file() and place.read_bytes() != held.read_bytes():
            raise P06Error("P06-BACKUP-009", key=name)
        if not place.is_file():
            database.write_secret(place, held.read_bytes())


# The database.


def _base_backup(target: Path) -> None:
    done = subprocess.run(
        [
            str(database.binaries() / "pg_basebackup"), "--pgdata", str(target), "--format", "plain", "--wal-method", "stream",
            "--checkpoint", "fast", "--manifest-checksums", "sha256", "--no-password", "--dbname", database.owner_dsn(),
        ],
        capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    if done.returncode:
        _told("P06-BACKUP-005", done.stderr)


def _compare_with_server(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Each file as the server read it when it sent it; its write-ahead log is proved by starting from it."""
    for one in json.loads((folder / "backup_manifest").read_bytes())["Files"]:
        found = files.get(f"{DATABASE}/{one['Path']}") if "Path" in one else None
        if found is None or (one["Size"], one["Checksum"].lower()) != (found["bytes"], found["sha256"]):
            raise P06Error("P06-BACKUP-008", part=DATABASE)


def _told(code: str, output: str) -> None:
    """What a program of PostgreSQL said, as an error: a full disk by its name, else the kind of trouble alone."""
    if os.strerror(errno.ENOSPC) in output:
        raise P06Error("P06-BACKUP-004")
    raise P06Error(code, part=DATABASE)


def _recover(data: Path) -> None:
    """Start the copied server where nobody reaches it and stop it: it replays its log to the end of the backup."""
    for name in _OF_THE_SERVER_COPIED:
        for path in data.glob(name):
            path.unlink()
    database.give_to_server(data)
    with tempfile.TemporaryDirectory(prefix="p06-") as socket:
        database.give_to_server(Path(socket))
        try:
            patience = str(int(_RECOVERY))
            options = f"-h '' -k {socket}"
            log = str(data / "log")
            database.run_binary(
                "pg_ctl", "-w", "-t", patience, "-o", options, "-l", log, "-D", str(data), "start", timeout=_RECOVERY
            )
            database.run_binary(
                "pg_ctl", "-w", "-t", patience, "-m", "fast", "-D", str(data), "stop", timeout=_RECOVERY
            )
        except subprocess.SubprocessError as error:
            log_text = (data / "log").read_text(errors="replace") if (data / "log").exists() else ""
            if os.strerror(errno.ENOSPC) in log_text[-20_000:]:
                raise P06Error("P06-BACKUP-004") from error
            raise P06Error("P06-BACKUP-010") from error


def _database_size() -> int:
    """Bytes of the server's files."""
    with psycopg.connect(database.owner_dsn(), autocommit=True) as connection:
        row = connection.execute("select sum(pg_database_size(oid))::bigint from pg_database").fetchone()
    return int(row[0]) if row and row[0] else 0


# Files.


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the backup's place, that of an earlier try swept away; gone when anything fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.partial")
    with _only(folder.with_name(f".{folder.name}.lock"), is_folder=False):
        _remove(draft)
        draft.mkdir(mode=0o700)
        try:
            yield draft
        finally:
            _remove(draft)


_LOCK = "lock"


@contextmanager
def _only(place: Path, is_folder: bool = True) -> Iterator[None]:
    """Hold a folder, or a file, against other processes; a killed one holds nothing. Raises Busy P06-BACKUP-003."""
    if is_folder:
        place.mkdir(mode=0o700, exist_ok=True)
    lock = place / _LOCK if is_folder else place
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy("P06-BACKUP-003") from None
        yield
    finally:
        os.close(descriptor)
        if not is_folder:
            lock.unlink(missing_ok=True)


@contextmanager
def _full_disk_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise P06Error("P06-BACKUP-004") from error
        raise P06Error("P06-BACKUP-011", kind=errno.errorcode.get(error.errno or 0, type(error).__name__)) from error


def _demand(place: Path, wanted: int) -> None:
    """Say beforehand that the disk is too small. Raises P06Error P06-BACKUP-004."""
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise P06Error("P06-BACKUP-004", free_mb=free // 2**20, wanted_mb=-(-wanted // 2**20))


def _copy_tree(source: Path, target: Path) -> None:
    """Copy regular files and folders with their modes. What vanishes meanwhile was not there; links are left out."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copymode(source, target)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        try:
            if entry.is_dir(follow_symlinks=False):
                _copy_tree(Path(entry.path), target / entry.name)
            elif entry.is_file(follow_symlinks=False):
                shutil.copy2(entry.path, target / entry.name)
        except FileNotFoundError:
            continue


def _files(folder: Path) -> Iterator[str]:
    """Every file of a backup by its name in it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _checksum(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _read(folder: Path) -> Backup:
    """What a backup's manifest says. Raises P06Error P06-BACKUP-008 when it has none or it is of another form."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        if told["format"] != FORMAT:
            raise ValueError
        files = told["files"]
        size = sum(int(one["bytes"]) for one in files.values())
        return Backup(folder, str(told["made_at"]), size, len(files), bool(told["landing"]), told["head"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise P06Error("P06-BACKUP-008", part=MANIFEST) from error


def _check(folder: Path) -> None:
    """Every file as it was written. Raises P06Error P06-BACKUP-008 naming the part that differs."""
    stated = json.loads((folder / MANIFEST).read_bytes())["files"]
    present = set(_files(folder)) - {MANIFEST}
    for name in sorted({*stated, *present}):
        if name not in stated or name not in present or _checksum(folder / name) != stated[name]:
            # names of deliveries may say more than a message should
            raise P06Error("P06-BACKUP-008", part=re.split(r"[/\\]", name)[0])


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
