#!/usr/bin/env bash
# A master that gets its first replica changes its replication ID, and says nothing of the old one: as if its history had begun anew.
#
# Expected: master_replid names a history of writes. It changes when a replica is promoted, and master_replid2 has the former ID then (Redis's
# documentation of replication). So who sees another ID, on a master that has been one all the time, and with its data, thinks of a promotion.
# What happens: the first replica that attaches makes the master create its backlog, and with that a new master_replid. master_replid2 is all
# zeros, and second_repl_offset is -1. The process, its role and its keys are what they were; nothing was lost.
# Seen with: Redis 7.0.15. The same on Redis 8.6.3 and Valkey 9.1.2, and there a first slot migration does so, too.
# Who cares: clients and monitors that tell a failover from a reconnection by master_replid: adding a replica to a lone server looks like one.
# A guard against masters that were replicas takes it for one, and waits.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
redis-cli -p "$port" set lock me >/dev/null

# field NAME prints a field of the master's INFO.
field() { redis-cli -p "$port" info | tr -d '\r' | sed -n "s/^$1://p"; }
# history prints what does not change in a process that remains master.
history() { echo "$(field run_id) $(field role) $(redis-cli -p "$port" get lock)"; }

redis-server --version
alone=$(field master_replid) before=$(history)
second=$(port)
server "$second" --replicaof "127.0.0.1 $port"
for _ in $(seq 100); do
	[[ $(field slave0) != *state=online* ]] || break
	sleep 0.1
done
followed=$(field master_replid) after=$(history)
echo "alone:             $alone"
echo "with one replica:  $followed"
echo "the former ID:     $(field master_replid2), offset $(field second_repl_offset)"
[[ $(field slave0) == *state=online* && $before == "$after" ]] || fail "the master is not what it was, or has no replica"
[[ $alone != "$followed" && $(field master_replid2) =~ ^0+$ && $(field second_repl_offset) == -1 ]] || fail "the ID is the same, or the former one is named"
