#!/bin/sh
# Measures how long a whole run of "webpush sign" takes, from start to exit,
# over 20 runs, and the most memory that one of them had.
set -eu
webpush=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
"$webpush" gen >/dev/null 2>&1
python=$(command -v python3 || true)
if [ -z "$python" ]; then
	echo 'SKIPPED the start-up figure: python3, which takes the time, is missing'
	exit 0
fi
"$python" - "$webpush" <<'PY'
import os, resource, statistics, subprocess, sys, time
command = [sys.argv[1], "sign", "--subject", "mailto:ops@example.com", "--audience", "https://push.example.net"]
def once():
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, status
    return (time.perf_counter() - start) * 1000, usage.ru_maxrss / 1024
for _ in range(3):
    once()
runs = [once() for _ in range(20)]
times = sorted(t for t, _ in runs)
print(f"webpush sign, 20 runs: wall {times[0]:.1f} ms least, {statistics.median(times):.1f} ms median, {times[-1]:.1f} ms most; "
      f"resident {max(m for _, m in runs):.1f} MiB at most")
PY
