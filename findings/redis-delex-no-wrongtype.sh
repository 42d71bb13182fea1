#!/usr/bin/env bash
# DELEX with a condition, on a key that is no string, does not say WRONGTYPE but ERR: unlike GET, SET IFEQ and DELIFEQ.
#
# Expected: WRONGTYPE, as of GET, SET IFEQ and every other command that finds another type, and as Redis's own table of commands
# has it for DELEX: "The key exists but holds a non-string value", WRONGTYPE (src/commands/delex.json, reply_schema).
# What happens: ERR Key should be of string type if conditions are specified. Nothing is deleted. Valkey's DELIFEQ says WRONGTYPE.
# Seen with: Redis 8.6.3; Valkey 9.1.2 (needs root, for debootstrap).
# Who cares: who releases locks by DELEX … IFEQ and tells errors apart by their first word. A lock whose name has been taken by
# something else looks like a fault of the request or of the server, and not like a lock that is lost.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# on PROGRAM… starts a server of the tree on a new port.
on() {
	port=$(port)
	chroot "$tree" "$@" --port "$port" --bind 127.0.0.1 --save '' --dir /tmp >"$work/$port.log" 2>&1 &
	pids+=("$!")
	disown
	reachable "$port"
}

# cli ARGUMENT… asks the server on $port.
cli() { chroot "$tree" /usr/bin/valkey-cli -p "$port" "$@" 2>&1 | head -1; }

tree=$(suite experimental redis-server redis-tools valkey-server valkey-tools)
on /usr/bin/redis-server
chroot "$tree" /usr/bin/redis-server --version | cut -d ' ' -f 1-3
cli lpush lock something >/dev/null
said=$(cli delex lock ifeq me) left=$(cli llen lock) others=$(cli get lock)/$(cli set lock me ifeq me)
echo "GET and SET IFEQ, of a list: $others"
echo "DELEX IFEQ, of a list:       $said"
[[ $others == WRONGTYPE*/WRONGTYPE* ]] || fail "GET or SET IFEQ says something else"
[[ $said == ERR* && $left == 1 ]] || fail "DELEX says something else, or deletes the list"

on /usr/bin/valkey-server
chroot "$tree" /usr/bin/valkey-server --version | cut -d ' ' -f 1-3
cli lpush lock something >/dev/null
said=$(cli delifeq lock me)
echo "DELIFEQ, of a list:          $said"
[[ $said == WRONGTYPE* ]] || fail "DELIFEQ says something else"
