"""Reads what `metrics-port` serves with the parser of Prometheus's own client library."""

import re
import socket
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=10) as answer:
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text"), answer.headers
    text = answer.read().decode()

families = {family.name: family for family in text_string_to_metric_families(text)}


def value(family, name=None, **labels):
    found = [s.value for s in families[family].samples if s.name == (name or family) and labels.items() <= s.labels.items()]
    assert len(found) == 1, (family, name, labels, found)
    return found[0]


assert value("respire_db_keys", db="0") == 100
assert value("respire_command_calls", "respire_command_calls_total", command="set") == 100
assert value("respire_command_duration_seconds", "respire_command_duration_seconds_count", command="set") == 100
assert value("respire_errors", "respire_errors_total", code="WRONGTYPE") == 1
assert value("respire_connected_clients") >= 1
assert value("respire_used_memory") > 0
assert families["respire_commands_processed"].type == "counter"
assert sum(s.value for s in families["respire_shard_keys"].samples) == 100
assert families["respire_shard_lock_waits"].type == "counter"
assert len(families["respire_shard_lock_waits"].samples) == len(families["respire_shard_keys"].samples)
assert len(families) > 100, len(families)
# What INFO tells as a number is here, too.
info = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
info.sendall(b"INFO\r\n")
reply = b""
while True:
    reply += info.recv(65536)
    head, found, rest = reply.partition(b"\r\n")
    if found and len(rest) >= int(head[1:]) + 2:
        break
number = re.compile(r"-?[0-9]+(\.[0-9]+)?$")
missing = []
for line in reply.decode().splitlines():
    name, _, told = line.partition(":")
    if number.match(told) and not re.match(r"db[0-9]+$", name):
        counted = name.removeprefix("total_")
        if f"respire_{counted}" not in families and f"respire_{name}" not in families:
            missing.append(name)
assert not missing, missing
print("ok")
