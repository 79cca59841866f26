"""Sessions begun and URLs given in a second, and the database's own pace at the same insert."""

import os
import re
import subprocess
import urllib.parse

from .client import Refused, Registry
from .stage import ROOT, servers

CLIENTS = 8
SIZE = 65536

# What a session is inserted as: its columns, with values made by the database.
INSERT = f"""INSERT INTO blob_upload_session
    (upload_uuid, repository_name, user_id, status, transfer_mode, temp_path, declared_digest, size, metadata,
     created_at, updated_at, expires_at, due_at)
VALUES (gen_random_uuid(), 'bench/blob', NULL, 'uploading', 'put', 'temp/00000000-0000-0000-0000-000000000000/data',
    decode(repeat('00', 32), 'hex'), {SIZE}, '{{"user_agent":"wrk"}}',
    now(), now(), now() + interval '24 hours', now() + interval '24 hours');
"""


def begin(stage, seconds):
    terms = f"?presigned=true&mode=put&size={SIZE}&digest=sha256:{os.urandom(32).hex()}"
    registry = Registry(stage.address)
    _, body = registry.request("POST", registry.uploads() + terms, (202,))
    steps = "one" if body else "two"
    command = ["wrk", "--threads", str(CLIENTS), "--connections", str(CLIENTS), "--duration", f"{seconds}s"]
    command += ["--script", ROOT / "scripts/benchmark/sessions.lua", stage.address, "--", steps, str(SIZE)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise Refused(f"wrk met errors:\n{printed}")
    requests = float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1])
    return requests / (1 if steps == "one" else 2)


def pgbench(stage, seconds):
    script = stage.folder / "insert.sql"
    script.write_text(INSERT)
    url = urllib.parse.urlsplit(stage.place.url)
    command = [servers.postgres_programs() / "pgbench", "--no-vacuum", "--client", str(CLIENTS), "--jobs", "2"]
    command += ["--time", str(seconds), "--protocol", "prepared", "--file", script]
    command += ["-h", url.hostname, "-p", str(url.port), "-U", url.username, stage.database]
    printed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True).stdout
    if "number of failed transactions: 0 " not in printed:
        raise Refused(f"pgbench met errors:\n{printed}")
    return float(re.search(r"tps = ([\d.]+)", printed)[1])
