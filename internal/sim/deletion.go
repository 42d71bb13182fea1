package sim

import "strings"

// HasDeletion gives a native server a compare-and-delete: DELIFEQ, as Valkey 9 has it, or DELEX, as Redis 8.4. A user may use it
// or not.
func (s *Server) HasDeletion(command string, permitted bool) {
	n := s.store.(*native)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deletions == nil {
		n.deletions = make(map[string]bool)
	}
	n.deletions[command] = permitted
}

// compareAndDelete is DELIFEQ key value, or DELEX key IFEQ value. Called with mu held.
func (n *native) compareAndDelete(command string, args []string, permitted bool) []byte {
	blind := command == "DELEX" && len(args) == 1
	conditional := command == "DELEX" && len(args) == 3
	switch {
	case command == "DELIFEQ" && len(args) != 2, command == "DELEX" && !blind && !conditional:
		return text("-ERR wrong number of arguments for '" + strings.ToLower(command) + "' command")
	case !permitted:
		return text("-NOPERM User me has no permissions to run the '" + strings.ToLower(command) + "' command")
	case conditional && !strings.EqualFold(args[1], "IFEQ"):
		return text("-ERR sim: it has not been told of this condition: " + args[1])
	case blind:
		return number(n.remove(args[0]))
	}
	if value, held := n.look(args[0]); held && value == args[len(args)-1] {
		return number(n.remove(args[0]))
	}
	return number(0)
}
