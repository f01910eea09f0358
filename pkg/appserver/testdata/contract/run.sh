# Runs the server and schemathesis in the network of this process, which must be
# its own: run.sh BINARY CONFIG, with the token in WEBPUSH_ADMIN_TOKEN.
# With --allow-private, a test message that gets no response does not wait.
set -eu
ip link set lo up
"$1" serve --subject mailto:ops@example.com --listen 127.0.0.1:8080 --client-rate 0 --allow-private --track --data contract >/dev/null 2>server.log &
server=$!
trap 'kill $server 2>/dev/null; wait $server || :' EXIT
for _ in $(seq 100); do
  curl -fsS http://127.0.0.1:8080/healthz >/dev/null 2>&1 && break
  sleep 0.1
done
schemathesis --config-file "$2" run http://127.0.0.1:8080/openapi.json --no-color --seed 1 --max-examples "${EXAMPLES:-40}" || {
  status=$?
  tail -n 30 server.log
  exit $status
}
