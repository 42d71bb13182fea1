package sim

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A sorted set is a key like any other: its value is its members, one a line, behind their
// scores, in the order of these.
type member struct {
	score int64
	name  string
}

func (n *native) members(key string) (set []member) {
	value, _ := n.look(key)
	for line := range strings.Lines(value) {
		score, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		set = append(set, member{integer(score), name})
	}
	return set
}

func (n *native) putMembers(key string, set []member, life int64) {
	if len(set) == 0 {
		n.remove(key)
		return
	}
	slices.SortFunc(set, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.name, b.name))
	})
	var value strings.Builder
	for _, m := range set {
		value.WriteString(strconv.FormatInt(m.score, 10) + " " + m.name + "\n")
	}
	n.put(key, value.String(), life)
}

func without(set []member, names ...string) []member {
	return slices.DeleteFunc(set, func(m member) bool { return slices.Contains(names, m.name) })
}

// prune takes the places out of a queue that have ended, and returns what is left.
func (n *native) prune(order, lives string) (queue, alive []member) {
	queue, alive = n.members(order), n.members(lives)
	now := n.clock.now().UnixMilli()
	var dead []string
	for _, m := range alive {
		if m.score <= now {
			dead = append(dead, m.name)
		}
	}
	return without(queue, dead...), without(alive, dead...)
}

func enqueue(n *native, keys, argv []string) []byte {
	place, life := argv[0], integer(argv[1])
	queue, alive := n.prune(keys[1], keys[2])
	left := n.pttl(keys[0])
	if left == -2 && len(queue) == 0 {
		return list(bulk(""), number(-3))
	}
	at, before := n.clock.now().UnixMicro(), ""
	if k := len(queue) - 1; k >= 0 {
		at, before = max(at, queue[k].score+1), queue[k].name
	}
	if !slices.ContainsFunc(queue, func(m member) bool { return m.name == place }) {
		queue = append(queue, member{at, place})
	}
	n.putMembers(keys[1], queue, life)
	n.putMembers(keys[2], append(without(alive, place), member{n.clock.now().UnixMilli() + life, place}), life)
	n.put(keys[3], "1", life)
	return list(bulk(before), number(left))
}

func keepPlace(n *native, keys, argv []string) []byte {
	life := integer(argv[0])
	var replies [][]byte
	for i, place := range argv[1:] {
		lock, order, lives, bell := keys[4*i], keys[4*i+1], keys[4*i+2], keys[4*i+3]
		queue := n.members(order)
		if !slices.ContainsFunc(queue, func(m member) bool { return m.name == place }) {
			replies = append(replies, bulk(""), number(-3), bulk(""))
			continue
		}
		n.putMembers(lives, append(without(n.members(lives), place), member{n.clock.now().UnixMilli() + life, place}), life)
		queue, alive := n.prune(order, lives)
		n.putMembers(order, queue, life)
		n.putMembers(lives, alive, life)
		if 2*n.pttl(bell) < life {
			n.put(bell, "1", life)
		}
		before, first, left := "", "", n.pttl(lock)
		if k := slices.IndexFunc(queue, func(m member) bool { return m.name == place }); k > 0 {
			before = queue[k-1].name
			if now := n.clock.now().UnixMilli(); max(now-queue[k].score/1000, queue[k].score/1000-now) > life {
				limit := member{now + life, before}
				if at := slices.IndexFunc(alive, func(m member) bool { return m.name == before }); at < 0 || alive[at].score > limit.score {
					n.putMembers(lives, append(without(alive, before), limit), life)
				}
			}
			if left == -2 {
				first = queue[0].name
			}
		}
		replies = append(replies, bulk(before), number(left), bulk(first))
	}
	return list(replies...)
}

func leaveQueue(n *native, keys, argv []string) []byte {
	queue, alive := n.members(keys[0]), n.members(keys[1])
	left := without(slices.Clone(queue), argv[0])
	n.putMembers(keys[0], left, max(1, n.pttl(keys[0])))
	n.putMembers(keys[1], without(alive, argv[0]), max(1, n.pttl(keys[1])))
	n.remove(keys[2])
	return number(int64(len(queue) - len(left)))
}

func lookAtQueue(n *native, keys, _ []string) []byte {
	queue, alive := n.prune(keys[1], keys[2]) // in a copy
	holder, _ := n.look(keys[0])
	place := holder[max(0, len(holder)-10):]
	waiting := without(alive, place)
	for _, m := range queue {
		if slices.ContainsFunc(waiting, func(w member) bool { return w.name == m.name }) {
			return list(number(int64(len(waiting))), number(max(0, n.clock.now().UnixMicro()-m.score)))
		}
	}
	return list(number(int64(len(waiting))), number(0))
}
