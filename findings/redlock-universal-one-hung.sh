#!/usr/bin/env bash
# redlock-universal, all defaults: with one server of three silent, using() loses every lock at its first renewal, and two work at once.
#
# Expected: locks are safe and live on when a minority of the servers is down; using() renews by itself when 80 % of the TTL (30 s) are over, and aborts the
# signal when that fails (redlock-universal's README).
# What happens: each step waits for the answers of all servers, 5 s for the silent one. The lock is had after 5 s, and these are not counted: the renewal
# starts 24 s after that. It asks all servers whether the lock is there, for 5 s more, and then sends the renewal, 34 s after the SET: the two healthy servers
# have forgotten the lock 4 s ago. Another 5 s later the signal is aborted. Whoever waits for the lock has had it since 36 s.
# Seen with: redlock-universal 0.8.5, ioredis 6.0.0, Node 20.20.2, Redis 7.0.15.
# Who cares: anybody who runs Redlock over several servers for the case that one fails: a server that is off and refuses connections does no harm, but one that
# hangs (a frozen machine, a firewall that drops) makes two holders of every long job. Give the adapters { timeout: 500 }.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
command -v npm >/dev/null || fail "npm is needed"
ports=()
for _ in 1 2 3; do
	port=$(port)
	server "$port"
	ports+=("$port")
done
hung=$server
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redlock-universal@0.8.5
cat >hung.js <<'JS'
const { setTimeout: sleep } = require("timers/promises");
const { createRedlock, IoredisAdapter } = require("redlock-universal");
const Redis = require("ioredis");
const [hung, ...ports] = process.argv.slice(2).map(Number);
const lock = (settings) =>
  createRedlock({ adapters: ports.map((port) => new IoredisAdapter(new Redis(port, "127.0.0.1"))), key: "job", ...settings });

(async () => {
  const first = lock(), second = lock({ retryAttempts: 100 });
  await sleep(1000);
  process.kill(hung, "SIGSTOP");
  const start = Date.now();
  const passed = () => Math.round((Date.now() - start) / 1000);
  let had, told, both;
  await first.using(async (signal) => {
    console.log("one server of three hangs; the first has the lock after", passed(), "s");
    signal.addEventListener("abort", () => (told = passed()));
    second.acquire().then(() => ([had, both] = [passed(), !signal.aborted]));
    while (!(had && told) && passed() < 90) await sleep(100);
  });
  console.log("the second has it after", had, "s, while the first's signal was not aborted:", both);
  console.log("the first was told after", told, "s");
  process.exit(both && told > had ? 0 : 1);
})();
JS
echo "redlock-universal 0.8.5, ioredis 6.0.0, node $(node --version)"
redis-server --version
node hung.js "$hung" "${ports[@]}" || fail "the lock was kept, or the signal aborted in time"
