"""The container's entry point: PostgreSQL's password comes from a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_server import STRICT_PASSWORD, STRICT_USER, postgres_server

from mien.galleries import open_gallery

ENTRY_POINT = Path(__file__).resolve().parents[2] / "deploy" / "entrypoint.sh"


@pytest.mark.skipif(os.name != "posix", reason="needs sh")
def test_the_password_is_read_from_the_file_that_is_named(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = postgres_server()
    database = server.new_database()
    request.addfinalizer(lambda: server.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)"))
    server.execute(database, f"GRANT CREATE ON DATABASE {database} TO {STRICT_USER}")
    open_gallery(server.url(database, user=STRICT_USER, password=STRICT_PASSWORD)).close()
    url = server.url(database, user=STRICT_USER)
    file = tmp_path / "password"
    folder = Path(sys.executable).parent

    def listed(**variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **variables}
        command = ["sh", str(ENTRY_POINT), "gallery", "list", "--json", "--gallery", url]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)

    file.write_text(f"{STRICT_PASSWORD}\n")
    found = listed(PGPASSWORD_FILE=str(file))
    assert found.returncode == 0, found.stdout
    assert json.loads(found.stdout)["name"] == "default"
    file.write_text("another one")
    for variables in ({"PGPASSWORD_FILE": str(file)}, {"PGPASSWORD_FILE": str(tmp_path / "absent")}, {}):
        refused = listed(**variables)
        assert refused.returncode != 0
        assert STRICT_PASSWORD not in refused.stdout + refused.stderr
