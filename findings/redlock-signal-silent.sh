#!/usr/bin/env bash
# node-redlock's using() never aborts its signal when the server hangs, however long the lock has been over.
#
# Expected: using() extends the lock by itself, and aborts the signal when that fails, so that the routine can stop (redlock's README).
# What happens: the extension has no timeout, so against a server that is silent it neither succeeds nor fails. The lock of 2 s is over, the
# signal is not aborted after 10 s: the routine that checks it before each step works on, and so does everybody who gets the lock elsewhere or later.
# Seen with: redlock 5.0.0-beta.2 with ioredis 6.0.0 as in its README, Node 20.20.2, Redis 7.0.15.
# Who cares: anybody who trusts signal.aborted. A frozen virtual machine, a full disk under fsync or a firewall that drops is enough. With commandTimeout: 300
# in ioredis it is aborted after 6 s, still late, because the extension is tried again 10 times: lower retryCount as well.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
command -v npm >/dev/null || fail "npm is needed"
port=$(port)
server "$port"
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0 redlock@5.0.0-beta.2
cat >using.js <<'JS'
const { setTimeout: sleep } = require("timers/promises");
const { default: Redlock } = require("redlock");
const Redis = require("ioredis");
const [port, server] = process.argv.slice(2).map(Number);

(async () => {
  const client = new Redis(port, "127.0.0.1");
  const redlock = new Redlock([client]);
  const start = Date.now();
  await redlock.using(["job"], 2000, async (signal) => {
    await sleep(2500);
    console.log("after 2.5 s: extended, aborted:", signal.aborted);
    process.kill(server, "SIGSTOP");
    while (!signal.aborted && Date.now() - start < 12500) await sleep(100);
    console.log("the server hangs for", Math.round((Date.now() - start - 2500) / 1000), "s, aborted:", signal.aborted);
    process.kill(server, "SIGCONT");
    process.exit(signal.aborted ? 1 : 0);
  });
})();
JS
echo "redlock 5.0.0-beta.2, ioredis 6.0.0, node $(node --version)"
redis-server --version
node using.js "$port" "$server" || fail "the signal was aborted"
