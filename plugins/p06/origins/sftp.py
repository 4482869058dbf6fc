"""SFTP that talks to the host it was told to and to nobody else.

fsspec's own ``SFTPFileSystem`` accepts any host key it has not seen, and paramiko tries whatever keys the account
owns. Here the key is stated beforehand, others are refused, and only what the credentials name is offered.
"""

from __future__ import annotations

import base64
import binascii
import io
import stat
from collections.abc import Iterator
from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from p06.credentials import Credentials
from p06.errors import P06Error

WINDOW = 4 << 20  # bytes asked for at once; many small requests are under way in one window
_REQUEST = 32 << 10  # bytes of one request: every server answers that much
_SECONDS = 30


class StrictSFTP(SFTPFileSystem):  # type: ignore[misc]
    """An fsspec file system over one session whose host key was known beforehand."""

    cachable = False

    def __init__(self, host: str, port: int, credentials: Credentials, host_key: str, **where: Any) -> None:
        """Connects. Raises P06Error P06-PULL-004, 005, 006, 007."""
        self.port, self.credentials, self.host_key, self.where = port, credentials, host_key, where
        super().__init__(host)

    def _connect(self) -> None:
        key_type, key = _host_key(self.host_key, self.where)
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        self.client = paramiko.SSHClient()
        self.client.get_host_keys().add(name, key_type, key)
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        refused = None
        try:
            self.client.connect(
                self.host,
                self.port,
                username=self.credentials.need("user"),
                password=None if self.credentials.get("private_key") else self.credentials.need("password"),
                pkey=_private_key(self.credentials),
                look_for_keys=False,
                allow_agent=False,
                timeout=_SECONDS,
                banner_timeout=_SECONDS,
                auth_timeout=_SECONDS,
                channel_timeout=_SECONDS,
            )
            self.client.get_transport().set_keepalive(_SECONDS)
            self.ftp = self.client.open_sftp()
            self.ftp.get_channel().settimeout(4 * _SECONDS)
        except P06Error:
            self.close()
            raise
        except paramiko.BadHostKeyException:
            refused = P06Error("P06-PULL-007", **self.where)
        except paramiko.AuthenticationException:
            refused = P06Error("P06-PULL-006", **self.where)
        except Exception as error:
            unknown = isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error)
            code = "P06-PULL-007" if unknown else "P06-PULL-005"
            refused = P06Error(code, **self.where, kind=f"{type(error).__module__}.{type(error).__name__}")
        if refused is not None:
            self.close()
            raise refused

    def close(self) -> None:
        """End the session."""
        self.client.close()

    @staticmethod
    def _decode_stat(status: Any, parent_path: str | None = None) -> dict[str, Any]:
        """As fsspec's, but what is neither folder, link nor plain file is no file: opening a pipe would wait for ever."""
        found: dict[str, Any] = SFTPFileSystem._decode_stat(status, parent_path)
        if found["type"] == "file" and not stat.S_ISREG(status.st_mode):
            found["type"] = "other"
        return found

    def windows(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``end``, with many requests under way and one window in memory."""
        with self.ftp.open(path, "rb") as file:
            while start < end:
                until = min(start + WINDOW, end)
                parts = [(at, min(_REQUEST, until - at)) for at in range(start, until, _REQUEST)]
                block = b"".join(file.readv(parts))
                yield block
                if len(block) != until - start:  # it became shorter meanwhile
                    return
                start = until


def _host_key(line: str, where: dict[str, Any]) -> tuple[str, paramiko.PKey]:
    """``ssh-ed25519 AAAA…``, as ``ssh-keyscan`` prints it behind the host. Raises P06Error P06-PULL-007."""
    words = line.split()
    place = next((i for i, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-"))), None)
    try:
        if place is not None:
            kind, blob = words[place], base64.b64decode(words[place + 1], validate=True)
            return kind, paramiko.PKey.from_type_string(kind, blob)
    except (IndexError, binascii.Error, paramiko.SSHException, ValueError):
        pass
    raise P06Error("P06-PULL-007", **where)


def _private_key(credentials: Credentials) -> paramiko.PKey | None:
    text = credentials.get("private_key")
    if text is None:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), credentials.get("passphrase"))
        except Exception:  # of another kind, or unreadable
            continue
    raise P06Error("P06-PULL-004", connection=credentials.name, field="private_key")
