package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// script is what one of our scripts does, in Go. It is called with native's mu
// held.
type script func(n *native, keys, argv []string) (reply []byte)

// scripts are those of internal/scripts, by the name that each begins with. One that
// changes there is to be changed here; the comparison with real servers tells.
var scripts = map[string]script{
	"acquire":                          acquire,
	"acquire with a fencing token":     acquireFenced,
	"acquire and raise":                acquireRaise,
	"acquire all":                      acquireAll,
	"acquire all with a fencing token": acquireAllFenced,
	"acquire all and raise":            acquireAllRaise,
	"take any":                         takeAny,
	"acquire shared":                   acquireShared,
	"renew shared":                     renewShared,
	"release shared":                   releaseShared,
	"close shared":                     closeShared,
	"count readers":                    countReaders,
	"release":                          release,
	"release many":                     releaseMany,
	"release with a fencing token":     releaseFenced,
	"release and raise":                releaseRaise,
	"renew":                            renew,
	"renew with fencing tokens":        renewFenced,
	"adopt":                            adopt,
	"inspect":                          inspect,
	"enqueue":                          enqueue,
	"keep place":                       keepPlace,
	"leave queue":                      leaveQueue,
	"look at queue":                    lookAtQueue,
	"proclaim":                         proclaim,
	"retract":                          retract,
	"look at leader":                   lookAtLeader,
	loaded:                             func(*native, []string, []string) []byte { return number(1) },
}

// loaded is the name of the script that tells that all are there: a greeting asks for it.
const loaded = "loaded"

func scriptOf(source string) (script, bool) {
	s, ok := scripts[nameOf(source)]
	return s, ok
}

// nameOf returns what a script says that it is: "acquire" if it begins with
// "-- acquire: take the lock".
func nameOf(source string) string {
	line, _, _ := strings.Cut(source, "\n")
	name, _, _ := strings.Cut(strings.TrimPrefix(line, "-- "), ":")
	return name
}

func shaOf(source string) string {
	sum := sha1.Sum([]byte(source))
	return hex.EncodeToString(sum[:])
}

func acquire(n *native, keys, argv []string) []byte {
	if holder, held := n.look(keys[0]); held {
		return list(number(0), bulk(cut(holder)), number(n.pttl(keys[0])))
	}
	n.put(keys[0], argv[0], integer(argv[1]))
	return list(number(1))
}

func acquireFenced(n *native, keys, argv []string) []byte {
	token, ttl, proposal, fenceTTL, maxAhead, highest := argv[0], argv[1], argv[2], argv[3], argv[4], argv[5]
	holder, held := n.look(keys[0])
	fence, fenced := n.look(keys[1])
	repeated := held && holder == token && fenced && fence == highest
	if held && !repeated {
		if !fenced {
			fence = "0"
		}
		return list(number(0), bulk(cut(holder)), number(n.pttl(keys[0])), bulk(cut(fence)))
	}
	if fenced && !numbered(fence) {
		return text("-WRONGTYPE the fence has a value that is no number of ours")
	}
	now := n.clock.now().UnixMicro()
	if integer(proposal) > now+integer(maxAhead) {
		return list(number(3), bulk(strconv.FormatInt(now, 10)))
	}
	if fenced && integer(fence) >= integer(proposal) && !repeated {
		return list(number(2), bulk(cut(fence)))
	}
	n.put(keys[0], token, integer(ttl))
	n.put(keys[1], highest, integer(fenceTTL))
	return list(number(1))
}

func acquireRaise(n *native, keys, argv []string) []byte {
	token, ttl, proposal, highest, first, maxAhead := argv[0], argv[1], argv[2], argv[3], argv[4], argv[6]
	at := int(integer(first)) / cellBytes
	fence := n.cell(keys[1], at)
	seen := bulk(strconv.FormatUint(fence, 10))
	now := n.clock.now().UnixMicro()
	clock := bulk(strconv.FormatInt(now, 10))
	holder, held := n.look(keys[0])
	switch {
	case held:
		return list(number(0), clock, bulk(cut(holder)), number(n.pttl(keys[0])), seen)
	case fence >= 1<<53:
		return text("-WRONGTYPE the table of fences has a value that is no number of ours")
	case integer(proposal) > now+integer(maxAhead):
		return list(number(3), clock)
	case fence >= uint64(integer(proposal)):
		return list(number(2), clock, seen)
	}
	n.setCell(keys[1], at, uint64(integer(highest)))
	n.put(keys[0], token, integer(ttl))
	return list(number(1), clock)
}

// inTheWay is which of the locks somebody else has: nobody's is the token's own, nor what is kept for it.
func inTheWay(n *native, locks []string, token string, kept []string) (which int, holder string) {
	for k, key := range locks {
		holder, held := n.look(key)
		if held && holder != token && (len(kept) == 0 || holder != kept[k]) {
			return k, holder
		}
	}
	return -1, ""
}

func acquireAll(n *native, keys, argv []string) []byte {
	if k, holder := inTheWay(n, keys, argv[0], argv[2:]); k >= 0 {
		return list(number(0), bulk(cut(holder)), number(n.pttl(keys[k])), bulk("0"), number(int64(k+1)))
	}
	for _, key := range keys {
		n.put(key, argv[0], integer(argv[1]))
	}
	return list(number(1))
}

func acquireAllFenced(n *native, keys, argv []string) []byte {
	token, ttl, proposal, fenceTTL, maxAhead := argv[0], argv[1], argv[2], argv[3], argv[4]
	highest, fences := "0", make([]string, len(keys)/2)
	for k := range fences {
		fence, fenced := n.look(keys[2*k+1])
		if !fenced {
			fence = "0"
		}
		var kept []string
		if len(argv) > 5 {
			kept = argv[5+k:]
		}
		if at, holder := inTheWay(n, keys[2*k:2*k+1], token, kept); at >= 0 {
			return list(number(0), bulk(cut(holder)), number(n.pttl(keys[2*k])), bulk(cut(fence)), number(int64(k+1)))
		}
		if !numbered(fence) {
			return text("-WRONGTYPE the fence has a value that is no number of ours")
		}
		fences[k] = fence
		if holder, _ := n.look(keys[2*k]); holder != token && integer(fence) > integer(highest) {
			highest = fence
		}
	}
	now := n.clock.now().UnixMicro()
	switch {
	case integer(proposal) > now+integer(maxAhead):
		return list(number(3), bulk(strconv.FormatInt(now, 10)))
	case integer(highest) >= integer(proposal):
		return list(number(2), bulk(highest))
	}
	for k, fence := range fences {
		n.put(keys[2*k], token, integer(ttl))
		if integer(fence) < integer(proposal) {
			n.put(keys[2*k+1], proposal, integer(fenceTTL))
		}
	}
	return list(number(1))
}

func acquireAllRaise(n *native, keys, argv []string) []byte {
	locks, table := keys[:len(keys)-1], keys[len(keys)-1]
	token, ttl, proposal, maxAhead, bounds, kept := argv[0], argv[1], uint64(integer(argv[2])), integer(argv[3]), argv[4:4+2*len(locks)], argv[4+2*len(locks):]
	at := make([]int, len(locks))
	for k := range locks {
		at[k] = int(integer(bounds[2*k])) / cellBytes
	}
	now := n.clock.now().UnixMicro()
	clock := bulk(strconv.FormatInt(now, 10))
	highest := uint64(0)
	for k, key := range locks {
		var its []string
		if len(kept) > 0 {
			its = kept[k:]
		}
		fence := n.cell(table, at[k])
		if held, holder := inTheWay(n, locks[k:k+1], token, its); held >= 0 {
			return list(number(0), clock, bulk(cut(holder)), number(n.pttl(key)), bulk(strconv.FormatUint(fence, 10)), number(int64(k+1)))
		}
		if fence >= 1<<53 {
			return text("-WRONGTYPE the table of fences has a value that is no number of ours")
		}
		if holder, _ := n.look(key); holder != token {
			highest = max(highest, fence)
		}
	}
	switch {
	case int64(proposal) > now+maxAhead:
		return list(number(3), clock)
	case highest >= proposal:
		return list(number(2), clock, bulk(strconv.FormatUint(highest, 10)))
	}
	for k, key := range locks {
		n.put(key, token, integer(ttl))
		if n.cell(table, at[k]) < proposal {
			n.setCell(table, at[k], proposal)
		}
	}
	return list(number(1), clock)
}

// takeAny takes the first that are free, of those that it has taken before if it is asked again.
func takeAny(n *native, keys, argv []string) []byte {
	locks, token, wanted, again := keys[1:], argv[0], int(integer(argv[2])), argv[4] == "1"
	var free []int
	for k, key := range locks {
		switch holder, held := n.look(key); {
		case again && held && holder == token:
			free = slices.Insert(free, 0, k)
		case !held:
			free = append(free, k)
		}
		if len(free) >= wanted && !again {
			break
		}
	}
	if len(free) < wanted {
		n.put(keys[0], "taken", integer(argv[3]))
		return list(number(0), number(int64(len(free))))
	}
	reply := [][]byte{number(1)}
	for _, k := range free[:wanted] {
		n.put(locks[k], token, integer(argv[1]))
		reply = append(reply, number(int64(k+1)))
	}
	return list(reply...)
}

// give deletes the lock if it is the token's.
func give(n *native, key, token string) int64 {
	holder, held := n.look(key)
	switch {
	case held && holder == token:
		return n.remove(key)
	case held:
		return -1
	}
	return 0
}

func release(n *native, keys, argv []string) []byte { return number(give(n, keys[0], argv[0])) }

func releaseMany(n *native, keys, argv []string) []byte {
	votes := make([][]byte, len(keys))
	for k, key := range keys {
		votes[k] = number(give(n, key, argv[k]))
	}
	return list(votes...)
}

func releaseFenced(n *native, keys, argv []string) []byte {
	answer := give(n, keys[0], argv[0])
	if fence, fenced := n.look(keys[1]); !fenced || numbered(fence) && integer(fence) < integer(argv[1]) {
		n.put(keys[1], argv[1], integer(argv[2]))
	}
	return number(answer)
}

func releaseRaise(n *native, keys, argv []string) []byte {
	answer := give(n, keys[0], argv[0])
	at, fence := int(integer(argv[2]))/cellBytes, uint64(integer(argv[1]))
	if n.cell(keys[1], at) < fence {
		n.setCell(keys[1], at, fence)
	}
	return number(answer)
}

// prolong lets the key live for at least ttl ms from now.
func prolong(n *native, key, ttl string) {
	if n.pttl(key) < integer(ttl) {
		n.expire(key, integer(ttl))
	}
}

// renewal is the vote on one lock, which lives on if it is the token's: how long
// it would have lived without.
func renewal(n *native, key, token, ttl string) int64 {
	holder, held := n.look(key)
	switch {
	case !held:
		return -1
	case holder != token:
		return -2
	}
	left := n.pttl(key)
	prolong(n, key, ttl)
	if left < 0 {
		return -3
	}
	return left
}

// renewals is the reply: the clock, and the votes.
func renewals(n *native, votes []int64) []byte {
	items := [][]byte{number(n.clock.now().UnixMicro())}
	for _, vote := range votes {
		items = append(items, number(vote))
	}
	return list(items...)
}

func renew(n *native, keys, argv []string) []byte {
	votes := make([]int64, len(keys))
	for k, key := range keys {
		votes[k] = renewal(n, key, argv[2*k], argv[2*k+1])
	}
	return renewals(n, votes)
}

func renewFenced(n *native, keys, argv []string) []byte {
	votes := make([]int64, len(keys)/2)
	for k := range votes {
		votes[k] = renewal(n, keys[2*k], argv[3*k], argv[3*k+1])
		if fence, _ := n.look(keys[2*k+1]); votes[k] != -1 && votes[k] != -2 && numbered(fence) {
			prolong(n, keys[2*k+1], argv[3*k+2])
		}
	}
	return renewals(n, votes)
}

func adopt(n *native, keys, argv []string) []byte {
	from, to, ttl := argv[0], argv[1], argv[2]
	switch holder, held := n.look(keys[0]); {
	case held && holder == to:
	case held && holder == from:
		n.put(keys[0], to, max(n.pttl(keys[0]), integer(ttl)))
	case held:
		return number(-1)
	default:
		return number(0)
	}
	return number(1)
}

func inspect(n *native, keys, _ []string) []byte {
	if holder, held := n.look(keys[0]); held {
		return list(bulk(cut(holder)), number(n.pttl(keys[0])))
	}
	return list()
}

// numbered reports whether a fence is a number of ours, rather than somebody else's.
func numbered(fence string) bool {
	return fence != "" && len(fence) <= 16 && strings.Trim(fence, "0123456789") == ""
}

// cut is as much of a value as the scripts reply.
func cut(value string) string { return value[:min(len(value), 1025)] }

// integer reads a number as the scripts' tonumber does, of those that we send.
func integer(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}

// The parts of a reply.

func text(line string) []byte  { return []byte(line + "\r\n") }
func number(n int64) []byte    { return fmt.Appendf(nil, ":%d\r\n", n) }
func bulk(value string) []byte { return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(value), value) }

func list(items ...[]byte) []byte {
	reply := fmt.Appendf(nil, "*%d\r\n", len(items))
	for _, item := range items {
		reply = append(reply, item...)
	}
	return reply
}
