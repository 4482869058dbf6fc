"""Real origins for tests: a folder, OpenSSH's sshd, an S3 server, each on this machine; and contracts that name them."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from p06 import contract, landing
from p06.settings import settings
from tests.integration.warehouse import Warehouse
from tests.sender import Sender

ROOT = Path(__file__).resolve().parents[2]
SECRET = "sesame-9f2c-of-the-test"  # planted in every connection, looked for in everything a pull leaves behind


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def declare(folder: Path, server: dict[str, Any], source: str = "health_visit", **properties: Any) -> None:
    """Copy the shipped contracts into a folder, give one of them an origin, and use them from now on."""
    target = folder / "contracts"
    if not target.exists():
        shutil.copytree(ROOT / "contracts", target)
    path = target / f"{source}{contract.SUFFIX}"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = [{"property": name, "value": value} for name, value in {"pull": True, **properties}.items()]
    document["servers"] = [one for one in document["servers"] if one["server"] != server["server"]]
    document["servers"].append({**server, "customProperties": own})
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.environ["P06_CONTRACTS"] = str(target)
    settings.cache_clear()


def connection(name: str, values: Mapping[str, str]) -> Path:
    """Write the credentials of a connection as an operator would."""
    path = settings().home / "secrets" / "connections" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    path.chmod(0o600)
    return path


def command(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, in the surroundings of the test."""
    home = Path(os.environ["P06_HOME"])
    place = {name: os.environ[name] for name in ("P06_LANDING", "P06_CONTRACTS") if name in os.environ}
    return Warehouse(home, home / "secrets" / "token.key", place).run(*arguments, **more)


def visible(folder: Path | None = None) -> dict[str, bytes]:
    """Every file of every delivery that landing shows, by its path."""
    top = folder or landing.root()
    return (
        {f"{one.place}/{path.name}": path.read_bytes() for one in landing.deliveries() for path in one.folder.iterdir()}
        if top.exists()
        else {}
    )


def hidden() -> list[Path]:
    """What pulls have left behind in landing."""
    return sorted(landing.root().rglob(".pull-*"))


@dataclass
class Place:
    """Where a test lays down deliveries as a sender would, and how p06 is told of it."""

    kind: str
    server: dict[str, Any]
    url: str
    secrets: dict[str, str]
    folder: Path | None = None  # on this disk, for what is one
    bucket: Any = field(default=None, repr=False)

    def put(self, path: str, content: bytes) -> None:
        if self.folder is None:
            self.bucket.put_object(Bucket="ministry", Key=path, Body=content)
            return
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def remove(self, path: str) -> None:
        if self.folder is None:
            self.bucket.delete_object(Bucket="ministry", Key=path)
        else:
            (self.folder / path).unlink()

    def send(self, written: Sender, below: str = "", **more: Any) -> dict[str, bytes]:
        """Lay down one delivery a sender wrote elsewhere, manifest last; returns its files by name."""
        delivery = written.send(**more)
        files = {path.name: path.read_bytes() for path in delivery.folder.iterdir()}
        for name in sorted(files, key=lambda one: one == "manifest.json"):
            self.put(f"{below or delivery.source + '/' + delivery.period}/{delivery.name}/{name}", files[name])
        return files


@contextmanager
def a_folder(tmp: Path) -> Iterator[Place]:
    folder = tmp / "outbox"
    folder.mkdir(exist_ok=True)
    server = {"server": "outbox", "type": "local", "path": str(folder), "format": "csv"}
    yield Place("local", server, f"file://{folder}", {"password": SECRET}, folder)


def sshd() -> str:
    """OpenSSH's server. It comes with the system, not with the packages; without it these tests fail and say so."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail("OpenSSH's sshd is not on this machine; the SFTP tests need it: apt-get install openssh-server")
    return found


@contextmanager
def an_sftp_account(tmp: Path) -> Iterator[Place]:
    tool, keys = sshd(), tmp / "ssh"
    folder = tmp / "outbox"
    folder.mkdir(exist_ok=True)
    keys.mkdir(mode=0o700)
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(keys / "other-kind")], check=True)
    (keys / "authorized").write_text((keys / "user.pub").read_text())
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd run by root insists on it
    port = free_port()
    (keys / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys / 'host'}\nAuthorizedKeysFile {keys / 'authorized'}\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    with (keys / "log").open("wb") as log:
        server = subprocess.Popen([tool, "-D", "-e", "-f", str(keys / "config")], stderr=log, start_new_session=True)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (keys / "log").read_text()
            time.sleep(0.1)
        url = f"sftp://127.0.0.1:{port}{folder}"
        secrets = {
            "user": getpass.getuser(),
            "private_key": (keys / "user").read_text(),
            "host_key": (keys / "host.pub").read_text(),
            "password": SECRET,
        }
        yield Place("sftp", {"server": "mailbox", "type": "sftp", "location": url}, url, secrets, folder)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


@contextmanager
def a_bucket(tmp: Path) -> Iterator[Place]:
    import boto3
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        address = f"http://127.0.0.1:{port}"
        bucket = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="ministry",
            aws_secret_access_key=SECRET,
        )
        bucket.create_bucket(Bucket="ministry")
        declared = {"server": "bucket", "type": "s3", "location": "s3://ministry", "endpointUrl": address}
        secrets = {"key": "ministry", "secret": SECRET, "endpoint_url": address, "region": "us-east-1"}
        yield Place("s3", declared, "s3://ministry", secrets, bucket=bucket)
    finally:
        for one in bucket.list_objects_v2(Bucket="ministry").get("Contents", []):
            bucket.delete_object(Bucket="ministry", Key=one["Key"])
        bucket.delete_bucket(Bucket="ministry")
        server.stop()


PLACES = {"local": a_folder, "sftp": an_sftp_account, "s3": a_bucket}
