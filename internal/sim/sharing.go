package sim

import (
	"cmp"
	"slices"
)

// What the scripts of a lock do that is shared: see acquire_shared.lua.

const (
	sharedMark  = "~shared"
	writersMark = "~writers"
)

// ends is when a reader's time in the lock is over, in ms of the server's clock; 0: it is not in.
func ends(readers []member, token string) int64 {
	if k := slices.IndexFunc(readers, func(m member) bool { return m.name == token }); k >= 0 {
		return readers[k].score
	}
	return 0
}

// stay has a reader stay until then at least, and the mark live for as long.
func (n *native) stay(lock, readers, token string, until, ttl int64) {
	set := append(without(n.members(readers), token), member{until, token})
	life := max(0, n.pttl(readers)) // for ever, if somebody has deleted them
	if left := n.pttl(lock); left >= 0 && left < ttl {
		n.expire(lock, ttl)
		life = ttl
	}
	n.putMembers(readers, set, life)
}

func acquireShared(n *native, keys, argv []string) []byte {
	token, ttl, now := argv[0], integer(argv[1]), n.clock.now().UnixMilli()
	holder, held := n.look(keys[0])
	_, closed := n.look(keys[2])
	switch {
	case held && holder != sharedMark:
		return list(number(0), bulk(cut(holder)), number(n.pttl(keys[0])))
	case !held && closed:
		return list(number(0), bulk(writersMark), number(n.pttl(keys[2])))
	case !held:
		n.put(keys[0], sharedMark, ttl)
		n.putMembers(keys[1], []member{{now + ttl, token}}, ttl)
		return list(number(1))
	}
	until := ends(n.members(keys[1]), token)
	if closed && until <= now {
		return list(number(0), bulk(sharedMark), number(n.pttl(keys[2])))
	}
	n.stay(keys[0], keys[1], token, max(until, now+ttl), ttl)
	return list(number(1))
}

func renewShared(n *native, keys, argv []string) []byte {
	votes := make([]int64, len(keys)/2)
	now := n.clock.now().UnixMilli()
	for k := range votes {
		lock, readers, token, ttl := keys[2*k], keys[2*k+1], argv[2*k], integer(argv[2*k+1])
		holder, held := n.look(lock)
		switch until := ends(n.members(readers), token); {
		case !held:
			votes[k] = -1
		case holder != sharedMark:
			votes[k] = -2
		case until <= now:
			votes[k] = -1
		default:
			votes[k] = until - now
			n.stay(lock, readers, token, max(until, now+ttl), ttl)
		}
	}
	return renewals(n, votes)
}

func releaseShared(n *native, keys, argv []string) []byte {
	holder, held := n.look(keys[0])
	switch {
	case !held:
		return number(0)
	case holder != sharedMark:
		return number(-1)
	}
	set := n.members(keys[1])
	left := without(slices.Clone(set), argv[0])
	was := int64(len(set) - len(left))
	now := n.clock.now().UnixMilli()
	left = slices.DeleteFunc(left, func(m member) bool { return m.score <= now })
	n.putMembers(keys[1], left, max(0, n.pttl(keys[1])))
	if len(left) == 0 {
		n.remove(keys[0])
		n.expire(keys[2], integer(argv[1]))
		return number(was)
	}
	if rest := slices.MaxFunc(left, func(a, b member) int { return cmp.Compare(a.score, b.score) }).score - now; n.pttl(keys[0]) > rest+100 {
		n.expire(keys[0], rest)
		n.expire(keys[1], rest)
	}
	return number(was)
}

func closeShared(n *native, keys, argv []string) []byte {
	if holder, _ := n.look(keys[0]); holder != sharedMark {
		return number(0)
	}
	n.put(keys[1], argv[0], integer(argv[1]))
	return number(1)
}

func countReaders(n *native, keys, _ []string) []byte {
	now := n.clock.now().UnixMilli()
	in := slices.DeleteFunc(n.members(keys[0]), func(m member) bool { return m.score <= now })
	return number(int64(len(in)))
}
