package sim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// native is the store that we have written ourselves: it knows the commands that
// an instance sends, and no others, and our scripts by their names. It is some
// twenty times as fast as running them, and its keys expire by the server's own
// clock. That it answers as miniredis and a real server do is tested with random
// sequences of our commands.
type native struct {
	clock *clock

	mu      sync.Mutex
	entries map[string]entry
	scripts map[string]script // by their SHA1: those that have been loaded

	deletions     map[string]bool // those of DELIFEQ and DELEX that there are, and whether they are permitted
	lacksBitfield bool
}

type entry struct {
	value string
	bytes []byte // not nil: the value, in place of the text; it is changed in place
	at    int64  // when it expires, in ms of the server's clock; 0: never
}

func (e entry) text() string {
	if e.bytes != nil {
		return string(e.bytes)
	}
	return e.value
}

func newNative(c *clock) *native {
	return &native{clock: c, entries: make(map[string]entry), scripts: make(map[string]script)}
}

// session: a connection has no state here; what is pushed is the server's.
func (n *native) session() session { return n }

// do executes one command.
func (n *native) do(args []string) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	command, arity := strings.ToUpper(args[0]), len(args)-1
	if permitted, known := n.deletions[command]; known {
		return n.compareAndDelete(command, args[1:], permitted)
	}
	switch {
	case command == "PING" && arity == 0:
		return text("+PONG")
	case command == "HELLO" && arity >= 1:
		return n.hello(args[1])
	case command == "SET" && arity >= 2:
		return n.setCommand(args[1], args[2], args[3:])
	case command == "GET" && arity == 1:
		return n.value(args[1])
	case command == "GETRANGE" && arity == 3:
		return n.rangeOf(args[1], integer(args[2]), integer(args[3]))
	case command == "SETRANGE" && arity == 3:
		return number(n.overwrite(args[1], integer(args[2]), args[3]))
	case command == "BITFIELD" && n.lacksBitfield:
		return text("-ERR unknown command 'BITFIELD'") // as real servers say it of what they have not got
	case command == "BITFIELD":
		return n.bitfield(args[1:])
	case command == "DEL" && arity == 1:
		return number(n.remove(args[1]))
	case command == "PTTL" && arity == 1:
		return number(n.pttl(args[1]))
	case command == "EXISTS" && arity >= 1:
		there := 0
		for _, key := range args[1:] {
			if _, held := n.look(key); held {
				there++
			}
		}
		return number(int64(there))
	case command == "TIME" && arity == 0:
		now := n.clock.now()
		return list(bulk(strconv.FormatInt(now.Unix(), 10)), bulk(strconv.Itoa(now.Nanosecond()/1000)))
	case command == "FLUSHALL" && arity == 0:
		clear(n.entries)
		return text("+OK")
	case command == "SCRIPT" && arity >= 1:
		return n.scriptCommand(args[1:])
	case command == "EVALSHA" && arity >= 2:
		return n.call(args[1], args[2], args[3:])
	}
	return text("-ERR sim: no such command here, or not with so many arguments: " + command)
}

// hello answers a connection's greeting. What is answered later is the same in
// RESP2 and RESP3 but for nil, which no command has that is sent in RESP3.
func (n *native) hello(version string) []byte {
	fields := [][]byte{
		bulk("server"), bulk("redis"), bulk("version"), bulk(version74), bulk("proto"), text(":" + version),
		bulk("mode"), bulk("standalone"), bulk("role"), bulk("master"), bulk("modules"), list(),
	}
	switch version {
	case "2":
		return list(fields...)
	case "3":
		return slices.Concat(text("%6"), slices.Concat(fields...))
	}
	return text("-NOPROTO unsupported protocol version")
}

// setCommand is SET key value with any of NX, GET and PX.
func (n *native) setCommand(key, value string, options []string) []byte {
	var nx, get bool
	var ttl int64
	for len(options) > 0 {
		switch option := strings.ToUpper(options[0]); {
		case option == "NX":
			nx = true
		case option == "GET":
			get = true
		case option == "PX" && len(options) > 1:
			var err error
			if ttl, err = strconv.ParseInt(options[1], 10, 64); err != nil {
				return text("-ERR value is not an integer or out of range")
			}
			if ttl <= 0 {
				return text("-ERR invalid expire time in 'set' command")
			}
			options = options[1:]
		default:
			return text("-ERR syntax error")
		}
		options = options[1:]
	}
	before, held := n.look(key)
	if !held || !nx {
		n.put(key, value, ttl)
	}
	switch {
	case get && held:
		return bulk(before)
	case get, held && nx:
		return text("$-1")
	}
	return text("+OK")
}

func (n *native) scriptCommand(args []string) []byte {
	switch command := strings.ToUpper(args[0]); {
	case command == "LOAD" && len(args) == 2:
		s, ok := scriptOf(args[1])
		if !ok {
			return text("-ERR sim: it has not been told what this script does: " + nameOf(args[1]))
		}
		sha := shaOf(args[1])
		n.scripts[sha] = s
		return bulk(sha)
	case command == "FLUSH":
		clear(n.scripts)
		return text("+OK")
	}
	return text("-ERR sim: no such SCRIPT command here")
}

// call is EVALSHA.
func (n *native) call(sha, keys string, args []string) []byte {
	s, ok := n.scripts[strings.ToLower(sha)]
	if !ok {
		return text("-NOSCRIPT No matching script. Please use EVAL.")
	}
	k, err := strconv.Atoi(keys)
	if err != nil || k < 0 || k > len(args) {
		return text("-ERR Number of keys can't be greater than number of args")
	}
	return s(n, args[:k], args[k:])
}

// look returns the value of a key that has not expired. Called with mu held, as
// all that follow.
func (n *native) look(key string) (value string, ok bool) {
	e, ok := n.entry(key)
	return e.text(), ok
}

func (n *native) entry(key string) (e entry, ok bool) {
	e, ok = n.entries[key]
	if ok && e.at != 0 && n.clock.now().UnixMilli() > e.at {
		delete(n.entries, key)
		return entry{}, false
	}
	return e, ok
}

func (n *native) value(key string) []byte {
	if value, ok := n.look(key); ok {
		return bulk(value)
	}
	return text("$-1")
}

// put sets a key that lives for ttl ms, or for ever if that is 0.
func (n *native) put(key, value string, ttl int64) {
	e := entry{value: value}
	if ttl != 0 {
		e.at = n.clock.now().UnixMilli() + ttl
	}
	n.entries[key] = e
}

func (n *native) expire(key string, ttl int64) {
	if value, ok := n.look(key); ok {
		n.put(key, value, ttl)
	}
}

func (n *native) remove(key string) int64 {
	_, ok := n.entry(key)
	delete(n.entries, key)
	if ok {
		return 1
	}
	return 0
}

// pttl is -2 for a key that is not there and -1 for one that lives for ever.
func (n *native) pttl(key string) int64 {
	switch e, ok := n.entry(key); {
	case !ok:
		return -2
	case e.at == 0:
		return -1
	default:
		return max(0, e.at-n.clock.now().UnixMilli())
	}
}

// What tests ask.

func (n *native) get(key string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.look(key)
}

// expires says when, within a millisecond before it happens.
func (n *native) expires(key string) (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.entry(key)
	if !ok || e.at == 0 {
		return time.Time{}, false
	}
	return n.clock.when(time.UnixMilli(e.at)), true
}

// left is how long a key still lives, by the server's own clock.
func (n *native) left(key string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Duration(n.pttl(key)) * time.Millisecond
}

func (n *native) set(key, value string, ttl time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.put(key, value, ttl.Milliseconds())
}

func (n *native) del(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.entries, key)
}

func (n *native) keys() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys := slices.Sorted(maps.Keys(n.entries))
	return slices.DeleteFunc(keys, func(key string) bool {
		_, ok := n.entry(key)
		return !ok
	})
}

func (n *native) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.entries)
}

// copied is what a replica has of it that hears of every write at once. Redis tells
// replicas when keys expire, by the master's clock.
func (n *native) copied() map[string]entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return cloned(n.entries)
}

func cloned(entries map[string]entry) map[string]entry {
	clone := maps.Clone(entries)
	for key, e := range clone {
		e.bytes = slices.Clone(e.bytes)
		clone[key] = e
	}
	return clone
}

// replace has it know nothing but that.
func (n *native) replace(entries map[string]entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entries = cloned(entries)
}

func (n *native) forgetScripts() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.scripts)
}

func (n *native) close() {}
