#!/usr/bin/env bash
# redlock-universal, all defaults: with one server of three down, using() loses every lock at its first renewal, and two work at once.
#
# Expected: locks are safe and live on when a minority of the servers is down; using() renews by itself when 80 % of the TTL (30 s) are over, and aborts the
# signal when that fails (redlock-universal's README).
# What happens: each step waits for the answers of all servers, 5 s for the one that is down. The lock is had after 5 s, and these are not counted: the
# renewal starts 24 s after that. It asks all servers whether the lock is there, for 5 s more, and then sends the renewal, 34 s after the SET: the two
# healthy servers have forgotten the lock 4 s ago. Another 5 s later the signal is aborted. Whoever waits for the lock has had it since 36 s.
# Seen with: redlock-universal 0.8.5, ioredis 6.0.0, Node 20.20.2, Redis 7.0.15. It is the same for a server that has ended, as ioredis keeps
# commands until the server is back, and for one that hangs.
# Who cares: anybody who runs Redlock over several servers for the case that one fails: every job longer than half a minute then has two
# holders. Give the adapters { timeout: 500 }: with it the lock is kept.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
command -v npm >/dev/null || fail "npm is needed"
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redlock-universal@0.8.5
cat >down.js <<'JS'
const { setTimeout: sleep } = require("timers/promises");
const { createRedlock, IoredisAdapter } = require("redlock-universal");
const Redis = require("ioredis");
const [signal, ...numbers] = process.argv.slice(2);
const [last, ...ports] = numbers.map(Number);
const server = (port) => new IoredisAdapter(new Redis(port, "127.0.0.1").on("error", () => {}));
const lock = (settings) => createRedlock({ adapters: ports.map(server), key: "job", ...settings });

(async () => {
  const first = lock(), second = lock({ retryAttempts: 100 });
  await sleep(1000);
  process.kill(last, signal);
  const start = Date.now();
  const passed = () => Math.round((Date.now() - start) / 1000);
  let had, told, both;
  await first.using(async (signal) => {
    console.log("the first has the lock after", passed(), "s");
    signal.addEventListener("abort", () => (told = passed()));
    second.acquire().then(() => ([had, both] = [passed(), !signal.aborted]), () => {});
    while (!(had && told) && passed() < 60) await sleep(100);
  });
  console.log("the second has it after", had, "s, while the first's signal was not aborted:", both);
  console.log("the first was told after", told, "s");
  process.exit(both && told > had ? 0 : 1);
})();
JS
echo "redlock-universal 0.8.5, ioredis 6.0.0, node $(node --version)"
redis-server --version
for signal in KILL STOP; do
	ports=()
	for _ in 1 2 3; do
		port=$(port)
		server "$port"
		ports+=("$port")
	done
	echo "one server of three gets SIG$signal"
	node down.js "SIG$signal" "$server" "${ports[@]}" || fail "the lock was kept, or the signal aborted in time"
done
