package slots

import "strings"

// FenceTable is the key, behind the prefix, that has the fences of a server on its own. It is part of the wire format, as are
// the kinds of keys beside a lock.
const FenceTable = "fences:1"

// Kinds of keys that are beside a lock.
const (
	Fence      = "fence"       // in a cluster: the highest fencing token
	Queue      = "queue"       // the places of those that wait, in order
	QueueLives = "queue-lives" // when each of these ends
	QueueBell  = "queue-bell-" // and the place's name: a key that goes when the next in the queue may ask
	Permit     = "permit-"     // and its number: the lock of one of the permits
	PermitBell = "permit-bell" // a key that goes when a permit is given back
	PermitTurn = "permit-turn" // the lock of the one that may collect permits
	Value      = "value"       // what the leader of an election says
	Readers    = "readers"     // who is in, of a lock that is shared, and until when
	Closed     = "closed"      // a key that keeps more readers out
)

// IsBeside reports whether a key's name, without the prefix, is that of a table of fences, whatever its number, or of a kind.
func IsBeside(name string) bool {
	switch kind, _, _ := strings.Cut(name, ":"); kind {
	case "fences", Fence, Queue, QueueLives, PermitBell, PermitTurn, Value, Readers, Closed:
		return true
	default:
		return strings.HasPrefix(kind, QueueBell)
	}
}

// Beside is the name of a key of some kind beside another: it begins with the prefix, and is in the same slot. (No name is,
// for a key with a closing brace that closes no hash tag.)
func Beside(prefix, kind, key string) string {
	if HasTag(key) {
		return prefix + kind + ":" + key
	}
	return prefix + kind + ":{" + key + "}"
}

// HasTag reports whether a part of the key decides its slot: what is between the first opening brace and the next closing
// one.
func HasTag(key string) bool {
	_, behind, _ := strings.Cut(key, "{")
	return strings.IndexByte(behind, '}') > 0
}
