"""A network that is cut at the worst moment: a relay in front of the server's socket that watches for COMMIT."""

from __future__ import annotations

import select
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

NAME = ".s.PGSQL.5432"


@dataclass
class Relay:
    """Passes bytes on until a session that sent ``after`` sends its COMMIT; then cuts every session, once."""

    target: str
    folder: Path
    after: bytes
    when: Literal["before", "after"]  # whether the server still gets the COMMIT; its answer is lost either way
    cut: bool = False
    sessions: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket, done: threading.Event) -> None:
        """Accept until done."""
        listener.settimeout(0.1)
        while not done.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.target)
            except OSError:
                client.close()
                continue
            self.sessions += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        marked, waiting = False, False
        with suppress(OSError), client, server:
            while True:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(1 << 16)
                    if not data or (waiting and one is server):
                        if waiting:
                            self._cut_all()
                        return
                    if one is client and not self.cut:
                        marked = marked or self.after in data
                        if marked and data[:1] == b"Q" and b"COMMIT" in data:
                            self.cut = True
                            if self.when == "before":
                                self._cut_all()
                                return
                            waiting = True
                    (server if one is client else client).sendall(data)

    def _cut_all(self) -> None:
        for one in self.sessions:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(target: Path, after: bytes, when: Literal["before", "after"]) -> Iterator[Relay]:
    """A folder with a socket that stands for the server's; sessions through it are cut as asked."""
    with tempfile.TemporaryDirectory(prefix="p06-") as name:
        folder, done = Path(name), threading.Event()
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / NAME))
            listener.listen(64)
            found = Relay(str(target / NAME), folder, after, when)
            thread = threading.Thread(target=found.serve, args=(listener, done))
            thread.start()
            try:
                yield found
            finally:
                done.set()
                thread.join()
