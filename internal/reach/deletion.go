package reach

import (
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// Deletion is a native compare-and-delete: a command that deletes a key if it has a value, and replies 1, or else 0.
type Deletion struct {
	name          string
	before, among string // what goes before the key, and between key and value
}

// deletions are those that servers have. Of two that a server has the first is used.
var deletions = []*Deletion{
	{"delifeq", "*3\r\n$7\r\ndelifeq\r\n", ""},           // Valkey 9
	{"delex", "*4\r\n$5\r\ndelex\r\n", "$4\r\nifeq\r\n"}, // Redis 8.4; without a condition it would delete whatever is there
}

// Append appends the command.
func (d *Deletion) Append(out []byte, key, value string) []byte {
	out = append(out, d.before...)
	out = resp.AppendArg(out, key)
	out = append(out, d.among...)
	return resp.AppendArg(out, value)
}

// deletionOf is the one that a server has, by what it replied to each of them without arguments; nil: it has none.
func deletionOf(replies []*redis.Cmd) *Deletion {
	for k, d := range deletions {
		if has(replies[k]) {
			return d
		}
	}
	return nil
}

// has reports whether the server knows a command that it was sent without arguments. It says what is missing whether or not
// it permits the command.
func has(command *redis.Cmd) bool {
	return command.Err() != nil && strings.HasPrefix(command.Err().Error(), "ERR wrong number of arguments")
}
