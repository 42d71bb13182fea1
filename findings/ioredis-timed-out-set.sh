#!/usr/bin/env bash
# ioredis: a SET NX that has failed with "Command timed out" takes the lock later.
#
# Expected: with commandTimeout a command that has no answer in that time fails (ioredis's documentation); what failed while there was no connection
# has never been sent.
# What happens: only the promise ends. The command stays in the queue for when there is no connection, and is sent when the server is back: 2 s
# later the lock is taken, with its whole TTL, by a call that has long reported its failure.
# Seen with: ioredis 6.0.0, Node 20.20.2, Redis 7.0.15.
# Who cares: users of redlock and other lock libraries on ioredis with a commandTimeout: after an outage there are locks that nobody holds. With
# enableOfflineQueue: false nothing is sent later.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
command -v npm >/dev/null || fail "npm is needed"
cd "$work"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ioredis@6.0.0
cat >outage.js <<'JS'
const { spawn } = require("child_process");
const { setTimeout: sleep } = require("timers/promises");
const Redis = require("ioredis");
const port = Number(process.argv[2]);

(async () => {
  console.log("ioredis", require("ioredis/package.json").version, "node", process.version);
  const client = new Redis(port, "127.0.0.1", { commandTimeout: 500, retryStrategy: () => 200 });
  client.on("error", () => {}); // The server is down.
  let failure;
  await client.set("lock", "me", "PX", 60000, "NX").catch((err) => (failure = err.message));
  console.log("while the server is down, SET NX fails:", failure);
  await sleep(1500);

  const server = spawn("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", ""], { stdio: "ignore" });
  await sleep(2000);
  const other = new Redis(port, "127.0.0.1");
  const holder = await other.get("lock");
  console.log("the server is back, empty; the lock belongs to:", holder, "for", await other.pttl("lock"), "ms");
  server.kill("SIGKILL");
  process.exit(failure === "Command timed out" && holder === "me" ? 0 : 1);
})();
JS
redis-server --version
node outage.js "$(port)" || fail "what timed out was not sent, or did not time out"
