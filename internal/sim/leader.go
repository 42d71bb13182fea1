package sim

import "strings"

// What a leader says is beside its lock: its token, a number, and the rest, with a space between them.

func proclaim(n *native, keys, argv []string) []byte {
	token, which, rest, life := argv[0], argv[1], argv[2], integer(argv[3])
	switch holder, held := n.look(keys[0]); {
	case held && holder != token:
		return number(-1)
	case !held:
		return number(0)
	}
	said, _ := n.look(keys[1])
	if its, ok := strings.CutPrefix(said, token+" "); ok {
		digits := its[:len(its)-len(strings.TrimLeft(its, "0123456789"))]
		if digits != "" && integer(digits) > integer(which) {
			return number(1)
		}
	}
	if left := n.pttl(keys[0]); left > 0 {
		life = left
	}
	n.put(keys[1], token+" "+which+" "+rest, life)
	return number(1)
}

func retract(n *native, keys, argv []string) []byte {
	if said, _ := n.look(keys[0]); strings.HasPrefix(said, argv[0]+" ") {
		return number(n.remove(keys[0]))
	}
	return number(0)
}

func lookAtLeader(n *native, keys, _ []string) []byte {
	holder, _ := n.look(keys[0])
	said, _ := n.look(keys[1])
	return list(bulk(cut(holder)), number(n.pttl(keys[0])), bulk(said[:min(len(said), 2049)]))
}
