#!/usr/bin/env bash
# In a cluster with several databases, moving a slot key by key deletes what it has in all databases but 0, and nothing says so.
#
# Expected: GETKEYSINSLOT names the keys of a slot, MIGRATE moves them, and SETSLOT NODE refuses to give away a slot whose keys
# are still there: "I still hold keys for this hash slot" (Valkey's documentation of CLUSTER SETSLOT).
# What happens: GETKEYSINSLOT names those of the connection's own database, and SETSLOT NODE looks at database 0 alone. It says OK;
# the old master then deletes the keys of the other databases, and the new one has never had them.
# Seen with: Valkey 9.1.2 with cluster-databases.
# Who cares: locks in another database than 0 (redis-cluster://HOST/3). Such a lock is gone while its holder works, and granted
# again at the new master. CLUSTER MIGRATESLOTS moves all databases.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

tree=$(suite sid valkey-server valkey-tools)
ports=("$(port)" "$(port)")
for at in "${ports[@]}"; do
	mkdir -p "$tree/tmp/moves-$at"
	chroot "$tree" /usr/bin/valkey-server --port "$at" --bind 127.0.0.1 --save '' --dir "/tmp/moves-$at" \
		--cluster-enabled yes --cluster-port "$(port)" --cluster-databases 4 >"$work/$at.log" 2>&1 &
	pids+=("$!")
	disown
	reachable "$at"
done
cli() { chroot "$tree" /usr/bin/valkey-cli -p "$@"; }
old=${ports[0]} new=${ports[1]}
cli "$old" cluster addslotsrange 0 16383 >/dev/null
bus=$(cli "$new" config get cluster-port | tail -1)
cli "$old" cluster meet 127.0.0.1 "$new" "$bus" >/dev/null
until [[ $(cli "$old" cluster info) == *cluster_state:ok*cluster_known_nodes:2* && $(cli "$new" cluster info) == *cluster_state:ok* ]]; do sleep 0.1; done

slot=$(cli "$old" cluster keyslot lock)
cli "$old" -n 3 set lock me px 600000 >/dev/null
from=$(cli "$old" cluster myid) to=$(cli "$new" cluster myid)
cli "$old" --version
cli "$new" cluster setslot "$slot" importing "$from" >/dev/null
cli "$old" cluster setslot "$slot" migrating "$to" >/dev/null
echo "GETKEYSINSLOT, to be moved by MIGRATE: [$(cli "$old" cluster getkeysinslot "$slot" 100)]"
given=$(cli "$new" cluster setslot "$slot" node "$to")/$(cli "$old" cluster setslot "$slot" node "$to")
echo "SETSLOT NODE at the new and the old master: $given"
until [[ $(cli "$old" -n 3 get lock 2>&1) == MOVED* ]]; do sleep 0.1; done
second=$(cli "$new" -n 3 set lock another nx px 600000)
echo "the lock in database 3, granted to somebody else at the new master: $second"
rm -rf "$tree"/tmp/moves-*
[[ $given/$second == OK/OK/OK ]] || fail "the slot keeps its keys, or cannot be given away"
