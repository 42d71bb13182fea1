package doctor

import (
	"context"
	"crypto/rand"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/slots"
)

// tryCommands tries every command that an engine uses, on a key that nobody else
// has. It is there for a second at most.
func (e *examination) tryCommands(ctx context.Context, cfg Config) error {
	if e.info["role"] == "slave" || e.pause() != "" { // it would refuse to write, or not answer, and that is known
		return nil
	}
	key := cfg.KeyPrefix + "holdfast-doctor:" + rand.Text()
	id, err := e.try(ctx, "client|id", "client", "id")
	if err != nil {
		return err
	}
	if id == nil {
		id = int64(math.MaxInt64) // nobody's
	}
	sha, err := e.try(ctx, "script|load", "script", "load", "return 1")
	if err != nil {
		return err
	}
	if sha == nil {
		sha = strings.Repeat("0", 40) // no script's
	}
	queue := slots.Beside(cfg.KeyPrefix, slots.Queue, key) // where nobody waits, and nobody begins to
	tries := []struct {
		command string
		args    []any
	}{
		{"evalsha", []any{"evalsha", sha, 1, key}},
		{"get", []any{"get", key}},
		{"get of the fence", []any{"get", slots.Beside(cfg.KeyPrefix, slots.Fence, key)}},
		{"set", []any{"set", key, "doctor", "px", 1000, "nx"}},
		{"getrange", []any{"getrange", key, 0, 1}},
		{"exists", []any{"exists", key}},
		{"setrange", []any{"setrange", key, 0, ""}},
		{"pttl", []any{"pttl", key}},
		{"pexpire", []any{"pexpire", key, 1000}},
		{"del", []any{"del", key}},
		{"time", []any{"time"}},
		{"zadd", []any{"zadd", queue, "xx", 1, "doctor"}},
		{"zrem", []any{"zrem", queue, "doctor"}},
		{"zrange", []any{"zrange", queue, 0, 0}},
		{"zrangebyscore", []any{"zrangebyscore", queue, 0, 0}},
		{"zrevrangebyscore", []any{"zrevrangebyscore", queue, 0, 0}},
		{"zscore", []any{"zscore", queue, "doctor"}},
		{"zcount", []any{"zcount", queue, 0, 0}},
		{"client|kill", []any{"client", "kill", "id", id, "skipme", "yes"}}, // ours or nobody's, and we are skipped
		{"hello", []any{"hello"}},
		{"client|tracking", []any{"client", "tracking", "off"}},
		{"asking", []any{"asking"}}, // behind it nothing is asked
	}
	if err := e.lookAtFences(ctx, cfg.KeyPrefix+slots.FenceTable); err != nil {
		return err
	}
	for _, t := range tries {
		if t.command == "asking" && e.info["cluster_enabled"] != "1" {
			continue
		}
		if _, err := e.try(ctx, t.command, t.args...); err != nil {
			return err
		}
	}
	return nil
}

// lookAtFences looks whether the table of fences is one that can be used, and stays. A cluster has none.
func (e *examination) lookAtFences(ctx context.Context, table string) error {
	if _, err := e.try(ctx, "bitfield", "bitfield", table, "get", "u56", "#0"); err != nil {
		return err
	}
	if err := e.refused["bitfield"]; err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") {
		delete(e.refused, "bitfield")
		e.spoilt = err
	}
	left, err := e.try(ctx, "pttl", "pttl", table)
	if ms, ok := left.(int64); ok && ms >= 0 {
		e.fencesEnd = time.Duration(min(ms, int64(math.MaxInt64/time.Millisecond))) * time.Millisecond
	}
	return err
}

// try sends one command, and takes down why it is refused.
func (e *examination) try(ctx context.Context, command string, args ...any) (reply any, err error) {
	reply, refusal, err := e.do(ctx, args...)
	switch {
	case refusal != nil:
		e.refused[command] = refusal
	case err == nil, strings.HasPrefix(err.Error(), "MOVED "): // another node's key, but permitted
	case isTimeout(err):
		e.stalled = command
		return nil, errEnough
	case !isRefusal(err):
		return nil, err
	case command == "set":
		e.refusal = err
		if strings.HasPrefix(err.Error(), "READONLY") { // go-redis has closed the connection on which it read this
			return nil, errEnough
		}
	}
	return reply, nil
}

// loss is what goes without some commands.
type loss struct {
	commands []string
	what     string
}

func (l loss) of(command string) bool { return slices.Contains(l.commands, command) }

// effects are what it costs to go without a command. Those that are not here cost
// votes.
var effects = []loss{
	{[]string{"client|id", "client|kill"}, "A frozen server that thaws may execute commands of a lost connection. That may leave a lock that nobody holds until its TTL is over."},
	{[]string{"hello", "client|tracking"}, "The server does not wake waiters: they poll. Holders learn with the next renewal only that their locks were taken."},
	{[]string{"zadd", "zrem", "zrange", "zrangebyscore", "zrevrangebyscore", "zscore"}, "Engines that wait for a lock are not served in turn."},
	{[]string{"getrange", "exists"}, "A huge value that something else keeps under a lock's name is read whole, and holds the server up. Holders learn with the next renewal only that their locks were taken."},
	{[]string{"bitfield"}, "Fencing tokens take a script, which is several times as much work for the server."},
	{[]string{"setrange"}, "Acquires with fencing tokens fail there."},
	{[]string{"zcount"}, "It is not known how many engines wait for a lock."},
	{[]string{"time"}, "Acquires with fencing tokens fail there, and steps of its clock are not noticed."},
	{[]string{"asking"}, "Locks in a slot that is being moved cannot be renewed or released meanwhile."},
	{[]string{"info"}, "A restart, in which it forgets its locks, cannot be seen; nor can two addresses of the same server."},
}

// commands are those that are refused with such an error, in the order of the
// alphabet.
func (f facts) commands(with func(error) bool) (names []string) {
	for name, err := range f.refused {
		if with(err) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func isAny(error) bool { return true }

// isDenied reports whether the user lacks a permission.
func isDenied(err error) bool { return strings.HasPrefix(err.Error(), "NOPERM") }

// isLacking reports whether the server does not know such a command, or not in
// the form that an engine uses.
func isLacking(err error) bool { return !isDenied(err) }

// costly are those commands without which votes fail.
func costly(commands []string) []string {
	return slices.DeleteFunc(slices.Clone(commands), func(c string) bool {
		return slices.ContainsFunc(effects, func(l loss) bool { return l.of(c) })
	})
}

// effect says what it costs to go without these commands.
func effect(commands []string) string {
	var says []string
	for _, l := range effects {
		if slices.ContainsFunc(commands, l.of) {
			says = append(says, l.what)
		}
	}
	if costs := costly(commands); len(costs) > 0 {
		says = append(says, "Every vote that takes "+strings.Join(costs, ", ")+" fails there.")
	}
	return strings.Join(says, " ")
}

// words are a server's, without the arguments that it quotes.
func words(err error) string {
	text, _, _ := strings.Cut(err.Error(), ", with args beginning with")
	return strings.TrimSuffix(strings.TrimSpace(text), ".")
}
