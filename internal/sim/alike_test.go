package sim_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/scripts"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// respondent is one of those that must answer alike.
type respondent struct {
	name string
	conn net.Conn
	in   *bufio.Reader
	text bool // errors are read whole, rather than their first word
}

// ask sends a command and returns the reply, written out: 1, "text", nil, [1 2].
func (r *respondent) ask(t *testing.T, args []string) any {
	t.Helper()
	out := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := r.conn.Write(out); err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	reply, err := read(r.in)
	if err != nil {
		t.Fatalf("%s: %q: %v", r.name, args, err)
	}
	if text, ok := reply.(string); ok && strings.HasPrefix(text, "-") && !r.text { // the rest is for people
		reply, _, _ = strings.Cut(text, " ")
	}
	return reply
}

func read(in *bufio.Reader) (any, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSpace(line)
	n, _ := strconv.ParseInt(line[1:], 10, 64)
	switch {
	case line[0] == ':':
		return n, nil
	case line[0] == '$' && n >= 0:
		value := make([]byte, n+2)
		_, err := io.ReadFull(in, value)
		return string(value[:n]), err
	case line[0] == '*' && n >= 0:
		items := make([]any, n)
		for k := range items {
			if items[k], err = read(in); err != nil {
				return nil, err
			}
		}
		return items, nil
	case line[0] == '$', line[0] == '*':
		return nil, nil
	}
	return line, nil
}

// alike compares two replies. Times left in ms and clocks in µs may be apart by
// what passes between two questions: all others are small, or tokens.
func alike(a, b any) bool {
	listA, okA := a.([]any)
	listB, okB := b.([]any)
	if okA && okB && len(listA) == len(listB) {
		for k := range listA {
			if !alike(listA[k], listB[k]) {
				return false
			}
		}
		return true
	}
	if okA || okB {
		return false
	}
	numberA, errA := strconv.ParseInt(fmt.Sprint(a), 10, 64)
	numberB, errB := strconv.ParseInt(fmt.Sprint(b), 10, 64)
	if errA != nil || errB != nil || numberA < 1000 || numberB < 1000 {
		return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b)
	}
	apart := numberA - numberB
	if numberA > 1e12 { // µs
		apart /= 1000
	}
	return -slack < apart && apart < slack
}

const (
	slack = 30_000  // ms, for a machine that stands still
	long  = 600_000 // ms; longer than any test, and further from zero than slack
)

// ours makes up commands as instances send them.
type ours struct {
	*rand.Rand
	sha map[string]string // of each script, by the name of its file
}

func (r *ours) key() string    { return fmt.Sprintf("k%d", r.IntN(3)) }
func (r *ours) token() string  { return fmt.Sprintf("token-%d", r.IntN(3)) }
func (r *ours) ttl() string    { return strconv.Itoa(long * (1 + r.IntN(3))) }
func fence(key string) string  { return "fence:{" + key + "}" }
func (r *ours) number() string { return strconv.FormatUint(r.proposal(), 10) }

// proposal is a fence: low, now, or far ahead of any clock.
func (r *ours) proposal() uint64 {
	switch r.IntN(4) {
	case 0:
		return uint64(1 + r.IntN(5))
	case 1:
		return 1<<53 - 1
	}
	return 1_700_000_000_000_000 + uint64(r.IntN(3))
}

func (r *ours) call(script string, keys []string, argv ...string) []string {
	args := append([]string{"EVALSHA", r.sha[script], strconv.Itoa(len(keys))}, keys...)
	return append(args, argv...)
}

// more is appended to a proposal that reserves many more numbers.
func (r *ours) more() string {
	if r.IntN(4) == 0 {
		return "0"
	}
	return ""
}

// place is one in a queue.
func (r *ours) place() string { return fmt.Sprintf("a-place-%02d", r.IntN(4)) }

// queueKeys are those that the scripts of a queue are called with, for one place.
func queueKeys(key, place string) []string {
	return []string{key, "queue:{" + key + "}", "queue-lives:{" + key + "}", "queue-bell-" + place + ":{" + key + "}"}
}

// queue is about those who wait for the key.
func (r *ours) queue(key string) []string {
	place, life := r.place(), strconv.Itoa(long)
	keys := queueKeys(key, place)
	switch r.IntN(11) {
	case 8, 9:
		return r.call("look_at_queue", keys[:3])
	case 10: // of a holder that was served in the queue
		return []string{"SET", key, "token-" + place, "PX", r.ttl()}
	case 0, 1, 2:
		return r.call("enqueue", keys, place, life)
	case 3:
		return r.call("keep_place", keys, life, place)
	case 4:
		other, beside := r.place(), r.key()
		return r.call("keep_place", append(keys, queueKeys(beside, other)...), strconv.Itoa(3*long), place, other)
	case 5:
		return r.call("leave_queue", keys[1:], place)
	case 6:
		return []string{"DEL", keys[1+r.IntN(3)]}
	}
	return []string{"PTTL", keys[1+r.IntN(3)]}
}

// leader is about what a leader says beside its lock.
func (r *ours) leader(key string) []string {
	value := "value:{" + key + "}"
	switch r.IntN(8) {
	case 0, 1, 2:
		return r.call("proclaim", []string{key, value}, r.token(), strconv.Itoa(1+r.IntN(12)), "17 a value", r.ttl())
	case 3:
		return r.call("retract", []string{value}, r.token())
	case 4:
		return []string{"SET", value, somebodyElses[r.IntN(len(somebodyElses))]}
	case 5:
		return []string{"PTTL", value}
	}
	return r.call("look_at_leader", []string{key, value})
}

// sharing are the keys of a lock that is shared.
func sharing(key string) []string {
	return []string{key, "readers:{" + key + "}", "closed:{" + key + "}"}
}

// share is about the readers of a key.
func (r *ours) share(key string) []string {
	keys := sharing(key)
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return r.call("acquire_shared", keys, r.token(), r.ttl())
	case 4, 5:
		other := r.key()
		return r.call("renew_shared", append(keys[:2], sharing(other)[:2]...), r.token(), r.ttl(), r.token(), r.ttl())
	case 6, 7:
		return r.call("release_shared", keys, r.token(), r.ttl())
	case 8:
		if r.IntN(2) == 0 {
			return r.call("count_readers", keys[1:2])
		}
		return r.call("close_shared", []string{key, keys[2]}, r.token(), r.ttl())
	}
	return []string{[]string{"DEL", "PTTL", "EXISTS"}[r.IntN(3)], keys[r.IntN(3)]}
}

// all asks for several locks, some of which may be kept for it.
func (r *ours) all() []string {
	keys := []string{"k0", "k1", "k2"}[:1+r.IntN(3)]
	r.Shuffle(len(keys), func(a, b int) { keys[a], keys[b] = keys[b], keys[a] })
	var kept, beside, bounds []string
	for _, key := range keys {
		beside = append(beside, key, fence(key))
		first := r.IntN(3) * 7
		bounds = append(bounds, strconv.Itoa(first), strconv.Itoa(first+6))
		kept = append(kept, r.token())
	}
	if r.IntN(2) == 0 {
		kept = nil
	}
	claim := []string{r.token(), r.ttl()}
	switch r.IntN(3) {
	case 0:
		return r.call("acquire_all", keys, append(claim, kept...)...)
	case 1:
		claim = append(claim, r.number(), r.ttl(), "30000000")
		return r.call("acquire_all_fenced", beside, append(claim, kept...)...)
	}
	claim = append(append(claim, r.number(), "30000000"), bounds...)
	return r.call("acquire_all_raise", append(keys, table), append(claim, kept...)...)
}

func (r *ours) command() []string {
	key := r.key()
	switch r.IntN(35) {
	case 32, 33, 34:
		return r.leader(key)
	case 22, 23, 24:
		return r.all()
	case 25, 26:
		keys := []string{"k0", "k1", "k2"}
		r.Shuffle(len(keys), func(a, b int) { keys[a], keys[b] = keys[b], keys[a] })
		keys = append([]string{"permit-bell:{k}"}, keys[:1+r.IntN(3)]...)
		return r.call("take_any", keys, r.token(), r.ttl(), strconv.Itoa(1+r.IntN(3)), r.ttl(), strconv.Itoa(r.IntN(2)))
	case 0, 1:
		return []string{"set", key, r.token(), "nx", "px", r.ttl()}
	case 2:
		return r.call("acquire", []string{key}, r.token(), r.ttl())
	case 3, 4, 5:
		n := r.number()
		return r.call("acquire_fenced", []string{key, fence(key)}, r.token(), r.ttl(), n, r.ttl(), "30000000", n+r.more())
	case 6:
		return r.call("release", []string{key}, r.token())
	case 7:
		return r.call("release_many", []string{key, r.key(), key}, r.token(), r.token(), r.token())
	case 8:
		return r.call("release_fenced", []string{key, fence(key)}, r.token(), r.number(), r.ttl())
	case 9:
		return r.call("renew", []string{key, r.key()}, r.token(), r.ttl(), r.token(), r.ttl())
	case 10:
		return r.call("renew_fenced", []string{key, fence(key)}, r.token(), r.ttl(), r.ttl())
	case 11:
		return r.call("inspect", []string{key})
	case 27, 28, 29, 30, 31:
		return r.share(key)
	case 12:
		return r.call("adopt", []string{key}, r.token(), r.token(), r.ttl())
	case 13, 14, 15, 16:
		return r.queue(key)
	case 17, 18, 19:
		n, first, last := r.number(), r.IntN(3)*7, 0
		if last = first + 6; r.IntN(2) == 0 {
			first, last = 7*65535, 7*65535+6
		}
		return r.call("acquire_raise", []string{key, table}, r.token(), r.ttl(), n, n, strconv.Itoa(first), strconv.Itoa(last), "30000000")
	case 20:
		first := r.IntN(3) * 7
		return r.call("release_raise", []string{key, table}, r.token(), r.number(), strconv.Itoa(first), strconv.Itoa(first+6))
	}
	return r.rare(key)
}

// table has the fences of all names.
const table = "fences:1"

// raises is a BITFIELD as instances send it.
func (r *ours) raises() []string {
	args := []string{"bitfield", table, "overflow", "sat"}
	for range 1 + r.IntN(4) {
		at, n := fmt.Sprintf("#%d", r.IntN(4)), r.number()
		args = append(args, "get", "u56", at, "incrby", "u56", at, "-"+n, "incrby", "u56", at, n)
	}
	return args
}

// tableCommand is about a table of fences, whatever is there.
func (r *ours) tableCommand() []string {
	first := r.IntN(4) * 7
	switch r.IntN(12) {
	case 0:
		return []string{"DEL", table}
	case 1:
		return []string{"SET", table, somebodyElses[r.IntN(len(somebodyElses))]}
	case 2, 3:
		n := r.number()
		return r.call("acquire_raise", []string{r.key(), table}, r.token(), r.ttl(), n, n, strconv.Itoa(first), strconv.Itoa(first+6), "30000000")
	case 4:
		return r.call("release_raise", []string{r.key(), table}, r.token(), r.number(), strconv.Itoa(first), strconv.Itoa(first+6))
	case 5:
		return []string{"DEL", r.key()}
	case 6:
		return []string{"SETRANGE", table, strconv.Itoa(first), "1234567"[r.IntN(8):]}
	case 7:
		return []string{"BITFIELD"}
	case 8, 9:
		return r.all()
	}
	return r.raises()
}

// somebodyElses are no fences, though to Lua some are numbers.
var somebodyElses = []string{"report", "", "0x10", "1e3", "-1", " 5", "12345678901234567", strings.Repeat("9", 2000)}

// rare is what tests and greetings send.
func (r *ours) rare(key string) []string {
	rare := [][]string{
		{"GET", key},
		{"GET", fence(key)},
		{"GETRANGE", key, "0", "1024"},
		{"GETRANGE", table, "0", "20"},
		{"SETRANGE", table, "3", "abc"},
		{"DEL", table},
		{"PTTL", key},
		{"PTTL", fence(key)},
		{"SET", fence(key), somebodyElses[r.IntN(len(somebodyElses))]},
		{"DEL", fence(key)},
		{"DEL", key},
		{"SET", key, r.token()},
		{"SET", key, r.token(), "PX", r.ttl()},
		{"SET", key, r.token(), "NX"},
		{"SET", key, r.token(), "PX", "0"},
		{"FLUSHALL"},
		{"SCRIPT", "FLUSH"},
		{"PING"},
	}
	return rare[r.IntN(len(rare))]
}

// sources are the scripts of internal/scripts, by the name of the file.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../internal/scripts/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	all := make(map[string]string)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".lua")] = string(source)
	}
	return all
}

func respondents(t *testing.T) []*respondent {
	t.Helper()
	server := redistest.Start(t)
	var all []*respondent
	for _, who := range []struct {
		name string
		dial func() (net.Conn, error)
	}{
		{"redis-server", func() (net.Conn, error) { return net.Dial(server.Network(), server.Addr()) }},
		{"native", func() (net.Conn, error) { return sim.NewNative(t, 1).Servers[0].Dial(t.Context(), "", "") }},
		{"miniredis", func() (net.Conn, error) { return sim.New(t, 1).Servers[0].Dial(t.Context(), "", "") }},
	} {
		if who.name == "miniredis" && strconv.IntSize == 32 {
			t.Log("without miniredis: on 32-bit systems it cuts the numbers that scripts return")
			continue
		}
		conn, err := who.dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		all = append(all, &respondent{name: who.name, conn: conn, in: bufio.NewReader(conn)})
	}
	return all
}

// TestAllThatAnswerAnswerAlike sends random sequences of our own commands to a
// real server, to miniredis and to the native one.
func TestAllThatAnswerAnswerAlike(t *testing.T) {
	const commands = 2000
	scripts := sources(t)
	all := respondents(t)
	r := &ours{rand.New(rand.NewPCG(1, 2)), make(map[string]string)}
	load := func() {
		for name, source := range scripts {
			r.sha[name] = same(t, all, []string{"SCRIPT", "LOAD", source}).(string)
		}
	}
	load()
	kinds := make(map[string]int) // of replies, so that it shows when a kind does not come up any more
	for range commands {
		command := r.command()
		reply := same(t, all, command)
		if text, ok := reply.(string); ok && strings.HasPrefix(text, "-NOSCRIPT") && r.IntN(3) == 0 {
			load()
		}
		kinds[fmt.Sprintf("%.8v", reply)]++
	}
	if len(kinds) < 15 {
		t.Errorf("only %d kinds of replies: %v", len(kinds), kinds)
	}
}

// miniredis has no BITFIELD. What it makes of a value, somebody else's too, is what the others read.
func TestTablesOfFencesAreAlike(t *testing.T) {
	all := slices.DeleteFunc(respondents(t), func(r *respondent) bool { return r.name == "miniredis" })
	r := &ours{rand.New(rand.NewPCG(3, 4)), make(map[string]string)}
	for name, source := range sources(t) {
		r.sha[name] = same(t, all, []string{"SCRIPT", "LOAD", source}).(string)
	}
	for range 2000 {
		same(t, all, r.tableCommand())
		same(t, all, []string{"GETRANGE", table, "0", "40"})
	}
}

// same asks all, and fails the test unless they answer alike.
func same(t *testing.T, all []*respondent, command []string) any {
	t.Helper()
	first := all[0].ask(t, command)
	for _, r := range all[1:] {
		if reply := r.ask(t, command); !alike(first, reply) && !(isLook(command) && alikeLooks(first, reply)) {
			t.Fatalf("%.60q: %s says %v, %s says %v", command, all[0].name, first, r.name, reply)
		}
	}
	return first
}

func isLook(command []string) bool {
	return command[0] == "EVALSHA" && command[1] == scripts.LookAtQueue.SHA
}

// alikeLooks compares two replies of a look at a queue: how long somebody has waited may be apart
// by what passes between two questions, however little it is.
func alikeLooks(a, b any) bool {
	lookA, okA := a.([]any)
	lookB, okB := b.([]any)
	if !okA || !okB || len(lookA) != 2 || len(lookB) != 2 || lookA[0] != lookB[0] {
		return false
	}
	waitedA, okA := lookA[1].(int64)
	waitedB, okB := lookB[1].(int64)
	apart := waitedA - waitedB
	return okA && okB && (waitedA == 0) == (waitedB == 0) && -slack*1000 < apart && apart < slack*1000
}

// TestKeysExpireWithAllThatAnswer waits for keys to go, with each respondent: the
// lock, while its fence stays.
func TestKeysExpireWithAllThatAnswer(t *testing.T) {
	source := sources(t)["acquire_fenced"]
	for _, r := range respondents(t) {
		sha := r.ask(t, []string{"SCRIPT", "LOAD", source}).(string)
		acquire := func(token, fence string) any {
			return r.ask(t, []string{"EVALSHA", sha, "2", "k", "f", token, "20", fence, "600000", "1000", fence})
		}
		if got := acquire("a", "5"); fmt.Sprint(got) != "[1]" {
			t.Errorf("%s: %v", r.name, got)
		}
		for end := time.Now().Add(10 * time.Second); r.ask(t, []string{"GET", "k"}) != nil; {
			if time.Now().After(end) {
				t.Fatalf("%s: a key of 20ms has not expired", r.name)
			}
		}
		if got := acquire("b", "5"); fmt.Sprint(got) != "[2 5]" {
			t.Errorf("%s: the fence: %v", r.name, got)
		}
		if got := acquire("b", "6"); fmt.Sprint(got) != "[1]" {
			t.Errorf("%s: %v", r.name, got)
		}
	}
}

// TestPlacesEndWithAllThatAnswer lets places end, with each respondent: those who stood
// behind them learn who is before them now, whoever keeps or enters first.
func TestPlacesEndWithAllThatAnswer(t *testing.T) {
	all := sources(t)
	for _, r := range respondents(t) {
		sha := make(map[string]string)
		for _, name := range []string{"enqueue", "keep_place", "leave_queue", "look_at_queue"} {
			sha[name] = r.ask(t, []string{"SCRIPT", "LOAD", all[name]}).(string)
		}
		call := func(script string, keys []string, argv ...string) string {
			return fmt.Sprint(r.ask(t, append(append([]string{"EVALSHA", sha[script], strconv.Itoa(len(keys))}, keys...), argv...)))
		}
		enter := func(place, life string) string { return call("enqueue", queueKeys("k", place), place, life) }
		keep := func(place string) string { return call("keep_place", queueKeys("k", place), "600000", place) }
		leave := func(place string) string { return call("leave_queue", queueKeys("k", place)[1:], place) }
		says := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s: %s, want %s", r.name, what, got, want)
			}
		}
		until := func(what, want string, ask func() string) {
			t.Helper()
			for end := time.Now().Add(10 * time.Second); ; {
				got := ask()
				if got == want {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("%s: %s: %s, want %s", r.name, what, got, want)
				}
			}
		}
		look := func() string { // without for how long
			waiting, waited, _ := strings.Cut(call("look_at_queue", queueKeys("k", "")[:3]), " ")
			if (waiting == "[0") != (waited == "0]") {
				t.Errorf("%s: %s] wait, the first for [%s µs", r.name, waiting, waited)
			}
			return waiting + "]"
		}
		says("nobody waits", look(), "[0]")
		says("nobody waits and the lock is free", enter("a", "600000"), "[ -3]")
		r.ask(t, []string{"SET", "k", "held"})
		says("the first", enter("a", "600000"), "[ -1]")
		says("the second", enter("b", "600000"), "[a -1]")
		says("one that ends soon", enter("c", "20"), "[b -1]")
		says("one that ends soon, too", enter("d", "20"), "[c -1]")
		says("the last", enter("e", "600000"), "[d -1]")
		until("two of the five have ended", "[3]", look)
		r.ask(t, []string{"SET", "k", "a"})
		says("the holder does not wait", look(), "[2]")
		r.ask(t, []string{"SET", "k", "the token of f"})
		says("the holder has no place", look(), "[3]")
		until("both before the last have ended", "[b -1 ]", func() string { return keep("e") })
		says("a place that has ended is kept", keep("d"), "[ -3 ]")
		says("another that ends soon", enter("f", "20"), "[e -1]")
		until("it has ended", "[e -1]", func() string {
			defer leave("g")
			return enter("g", "600000")
		})
		says("the first leaves", leave("a"), "1")
		says("it leaves again", leave("a"), "0")
		says("the second is the first", keep("b"), "[ -1 ]")
		r.ask(t, []string{"DEL", "k"})
		says("the lock is free, and others are before it", keep("e"), "[b -2 b]")
		leave("b")
		leave("e")
		says("nobody waits any more", enter("a", "600000"), "[ -3]")
		if left := r.ask(t, []string{"PTTL", "queue:{k}"}); fmt.Sprint(left) != "-2" {
			t.Errorf("%s: a queue without places has another %v ms", r.name, left)
		}
	}
}

func TestNativeServerKnowsEveryScript(t *testing.T) {
	conn, err := sim.NewNative(t, 1).Servers[0].Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	native := &respondent{"native", conn, bufio.NewReader(conn), false}
	for name, source := range sources(t) {
		if got := native.ask(t, []string{"SCRIPT", "LOAD", source}); got != redis.NewScript(source).Hash() {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := native.ask(t, []string{"SCRIPT", "LOAD", "-- other: do something\nreturn 1"}); got != "-ERR" {
		t.Errorf("it takes a script that it does not know: %v", got)
	}
}
