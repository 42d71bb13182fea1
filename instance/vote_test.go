package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
)

func TestVoteIsOneLineWithoutSecrets(t *testing.T) {
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, c := range []struct {
		vote Vote
		want string
	}{
		{Vote{Instance: "i", Kind: Granted}, `i: granted`},
		{Vote{Instance: "i"}, "i: " + Unanswered.String()},
		{Vote{Instance: "i", Kind: Held, Holder: token, Left: 1500 * time.Millisecond}, `i: held by "ABCD…" for another 1.5s`},
		{Vote{Instance: "i", Kind: Held, Holder: "the owner~" + token, Left: -1}, `i: held by "the owner~ABCD…"`},
		{Vote{Instance: "i", Kind: Held, Holder: "short"}, `i: held by "…"`},
		{Vote{Instance: "i", Kind: InQuarantine, Left: time.Minute}, `i: quarantined for another 1m0s`},
		{Vote{Instance: "i", Kind: TimedOut, Err: fault.ErrTimeout}, `i: timed out (no answer in time)`},
		{Vote{Instance: "i", Kind: Refused, Err: errors.New("OOM no")}, `i: refused (OOM no)`},
		{Vote{Instance: "i", Kind: Kind(99)}, `i: kind 99`},
	} {
		for _, text := range []string{c.vote.String(), fmt.Sprint(c.vote), fmt.Sprintf("%+v", c.vote), fmt.Sprintf("%#v", c.vote), fmt.Sprintf("%v", []Vote{c.vote})} {
			if strings.Trim(text, "[]") != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
		}
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for k := Unanswered; k <= Refused; k++ {
		name := k.String()
		if name == "" || strings.HasPrefix(name, "kind") || seen[name] {
			t.Errorf("kind %d is called %q", uint8(k), name)
		}
		seen[name] = true
	}
	for s := Connecting; s <= Closed; s++ {
		if strings.HasPrefix(s.String(), "state") {
			t.Errorf("state %d has no name", uint8(s))
		}
	}
	if State(99).String() != "state 99" {
		t.Errorf("got %q, want %q", State(99), "state 99")
	}
}

func TestAnsweredIsSaidOnlyOfInstancesThatHaveSpoken(t *testing.T) {
	silent := map[Kind]bool{Unanswered: true, Unreachable: true, TimedOut: true}
	for k := Unanswered; k <= Refused; k++ {
		if (Vote{Kind: k}).Answered() == silent[k] {
			t.Errorf("%v: answered %v", k, !silent[k])
		}
	}
}

func TestAbbreviationNeverGivesATokenAway(t *testing.T) {
	for _, token := range []string{"", "a", "owner~", "~", "owner~short", "abcdefghijk", "abcdefghijkl", "o~abcdefghijklmnop", strings.Repeat("x", 1024), "line\nbreak and more"} {
		short := Abbreviate(token)
		random := token[strings.LastIndexByte(token, '~')+1:]
		if random != "" && strings.Contains(short, random) || strings.Contains(short, "\n") {
			t.Errorf("%q becomes %s", token, short)
		}
	}
}

// In JSON a token is escaped once, and what is not known is not there.
func TestVotesInJSON(t *testing.T) {
	for _, c := range []struct {
		vote Vote
		want string
	}{
		{Vote{Instance: "i", Kind: Held, Holder: "the owner~ABCDEFGHIJKLMNOP", Left: 1500 * time.Millisecond}, `{"instance":"i","kind":"held","holder":"the owner~ABCD…","left_ms":1500}`},
		{Vote{Instance: "i", Kind: Held, Holder: `"a\b"~ABCDEFGHIJKLMNOP`, Left: -1}, `{"instance":"i","kind":"held","holder":"\"a\\b\"~ABCD…"}`},
		{Vote{Instance: "i", Kind: Held, Holder: "line\nbreak and more"}, `{"instance":"i","kind":"held","holder":"line…"}`},
		{Vote{Instance: "i", Kind: Free}, `{"instance":"i","kind":"free"}`},
	} {
		text, err := json.Marshal(c.vote)
		if err != nil || string(text) != c.want {
			t.Errorf("%s %v, want %s", text, err, c.want)
		}
	}
}

func TestHealthAsJSON(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		h    Health
		want string
	}{
		{Health{Name: "i", State: Up, Since: at, Latency: 250 * time.Microsecond, Mailbox: 3}, `{"name":"i","state":"up","since":"2024-02-29T12:00:00Z","latency_ms":0.25,"mailbox":3}`},
		{
			Health{Name: "i", State: Quarantined, Since: at, Quarantine: time.Minute, RunID: "r", Stepped: -1500 * time.Millisecond, SteppedAt: at.Add(time.Hour)},
			`{"name":"i","state":"quarantined","since":"2024-02-29T12:00:00Z","quarantine_ms":60000,"mailbox":0,"run_id":"r","stepped_ms":-1500,"stepped_at":"2024-02-29T13:00:00Z"}`,
		},
	} {
		if text, err := json.Marshal(c.h); err != nil || string(text) != c.want {
			t.Errorf("got %s %v, want %s", text, err, c.want)
		}
	}
}

// timeoutError is a net.Error.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestErrorsAreClassified(t *testing.T) {
	i := bare("i")
	i.secrets = reach.NewSecrets("s3cret")
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{resp.ServerError("OOM command not allowed"), Refused},
		{resp.ServerError("READONLY You can't write against a read only replica."), Refused},
		{resp.ServerError("NOPERM this user has no permissions"), Refused},
		{resp.ServerError("MISCONF Redis is configured to save RDB snapshots"), Refused},
		{resp.ServerError("WRONGTYPE Operation against a key"), Refused},
		{resp.ServerError("LOADING Redis is loading the dataset in memory"), Refused},
		{fmt.Errorf("cannot load the lock scripts: %w", resp.ServerError("NOPERM")), Refused},
		{resp.ErrNotRedis, Refused},
		{reach.ErrReplica, Refused},
		{fmt.Errorf("%w: as other", errSameServer), Refused},
		{timeoutError{}, TimedOut},
		{&net.OpError{Op: "read", Err: timeoutError{}}, TimedOut},
		{os.ErrDeadlineExceeded, TimedOut},
		{context.DeadlineExceeded, TimedOut},
		{io.EOF, Unreachable},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Unreachable},
		{net.ErrClosed, Unreachable},
		{errClosed, Unreachable},
		{errForgetful, Unreachable},
	} {
		v := i.classify(c.err)
		if v.Kind != c.want || v.Instance != "i" || v.Err == nil {
			t.Errorf("%v: %v, want %v", c.err, v, c.want)
		}
		if v.Answered() != (c.want == Refused) {
			t.Errorf("%v: answered %v", c.err, v.Answered())
		}
	}
}

func TestServersWordsAreQuotedWithoutThePassword(t *testing.T) {
	i := bare("i")
	i.secrets = reach.NewSecrets("s3cret", "s3cr%65t")
	v := i.classify(resp.ServerError("ERR you said s3cret and s3cr%65t"))
	if text := fmt.Sprintf("%v %+v %#v", v, v.Err, v.Err); strings.Contains(text, "s3cr") || !strings.Contains(text, "you said") {
		t.Errorf("got %q, want what the server said without the secret", text)
	}
	plain := resp.ServerError("OOM command not allowed")
	if v := i.classify(plain); !errors.Is(v.Err, plain) {
		t.Error("an error without a secret is not passed on as it is")
	}
}

func TestRefusalsThatWaitingDoesNotMend(t *testing.T) {
	allRefuse := new(reach.Failures)
	allRefuse.Add("node a", resp.ServerError("NOAUTH Authentication required."))
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{resp.ServerError("WRONGPASS invalid username-password pair"), true},
		{resp.ServerError("NOAUTH Authentication required."), true},
		{resp.ServerError("ERR Unknown command called from script script: on @user_script:32."), true},
		{resp.ServerError("NOPERM no"), true},
		{resp.ServerError("LOADING Redis is loading"), false},
		{resp.ServerError("MASTERDOWN Link with MASTER is down"), false},
		{resp.ServerError("BUSY Redis is busy running a script"), false},
		{resp.ServerError("ERR max number of clients reached"), false},
		{resp.ServerError("OOM command not allowed when used memory > 'maxmemory'."), false},
		{resp.ServerError("MISCONF Errors writing to the AOF file: No space left on device"), false},
		{resp.ServerError("NOREPLICAS Not enough good replicas to write."), false},
		{resp.ServerError("NOSCRIPT No matching script."), false},
		{resp.ServerError("READONLY You can't write against a read only replica. script: 0123, on @user_script:1."), false},
		{resp.ServerError("CLUSTERDOWN Hash slot not served"), false},
		{resp.ServerError("TRYAGAIN Multiple keys request during rehashing of slot"), false},
		{resp.ServerError("MOVED 1 10.0.0.1:6379"), false}, // a slot that moves
		{resp.ServerError("ERR something that only a proxy says"), false},
		{resp.ServerError("BUSYKEY Target key name already exists."), false}, // another word than BUSY
		{resp.ServerError("WRONGTYPE Operation against a key holding the wrong kind of value script: 0123, on @user_script:5."), true},
		{resp.ServerError("ERR Key should be of string type if conditions are specified"), true},
		{resp.ServerError("ERR Error running script (call to f_0123): @user_script:5: WRONGTYPE Operation against a key holding the wrong kind of value"), true},
		{resp.ServerError("ERR Error running script (call to f_0123): @user_script: 5: -OOM command not allowed when used memory > 'maxmemory'."), false},
		{resp.ServerError("ERR ACL failure in script: User u has no permissions to run the 'get' command script: 0123, on @user_script:5."), true},
		{resp.ServerError("ERR The user executing the script can't run this command or subcommand script: 0123, on @user_script:5."), true},
		{resp.ServerError("ERR unknown command 'EVALSHA', with args beginning with: "), true},
		{resp.ServerError("ERR DB index is out of range"), true},
		{resp.ServerError("DENIED Redis is running in protected mode because protected mode is enabled"), true},
		{fmt.Errorf("cannot load the lock scripts: %w", resp.ServerError("NOPERM no")), true},
		{fmt.Errorf("cannot load the lock scripts: %w", resp.ServerError("LOADING no")), false},
		{allRefuse, true},
		{resp.ErrNotRedis, true},
		{reach.ErrReplica, false}, // the next connection may find a master
		{reach.ErrFailover, false},
		{errDemoted, false},
		{errUncovered, false},
		{errFenceSlot, true},
		{fmt.Errorf("%w: a and b", reach.ErrSplit), true},
		{fmt.Errorf("%w: as other", errSameServer), true},
		{io.EOF, false},
		{fault.ErrTimeout, false},
	} {
		if got := IsRefusal(c.err); got != c.want {
			t.Errorf("is %v a refusal: got %v, want %v", c.err, got, c.want)
		}
	}
}

// What the table says of a server's error is what classify makes of it, too.
func TestVerdictsKeepWhatTheErrorIs(t *testing.T) {
	i := bare("i")
	i.secrets = reach.NewSecrets("s3cret")
	for _, r := range fault.Refusals {
		v := i.classify(resp.ServerError(r.Says + " something of s3cret"))
		misnamed := r.Says == "CLUSTERDOWN" || r.Says == "TRYAGAIN" // said by a single server: it is a node of a cluster
		if v.Kind != Refused || IsRefusal(v.Err) != (r.Class == fault.Lasts || misnamed) {
			t.Errorf("%s: got %v, want it refused, and a refusal if it lasts", r.Says, v)
		}
		if r.Mend == "" || Advice(resp.ServerError(r.Says)) != r.Mend {
			t.Errorf("%s: its advice is %q", r.Says, Advice(resp.ServerError(r.Says)))
		}
	}
	if v := i.classify(resp.ServerError("MOVED 1 10.0.0.1:6379")); !IsRefusal(v.Err) || !strings.Contains(v.Err.Error(), "redis-cluster://") {
		t.Errorf("a node of a cluster that is named as a server: %v", v)
	}
	if Advice(nil) != "" || Advice(io.EOF) != "" || Advice(resp.ServerError("ERR something")) != "" {
		t.Error("there is advice about what is not known")
	}
}

func TestComplaintsAreRateLimitedByTheirKind(t *testing.T) {
	var c complaints
	oom, misconf := fault.RefusalOf(resp.ServerError("OOM x")), fault.RefusalOf(resp.ServerError("MISCONF x"))
	start := time.Now()
	for n, x := range []struct {
		r     *fault.Refusal
		after time.Duration
		want  bool
	}{
		{oom, 0, true},
		{oom, time.Second, false},
		{misconf, time.Second, true},
		{nil, time.Second, true},
		{nil, 2 * time.Second, false},
		{oom, complainEvery, true},
		{oom, complainEvery + 1, false},
	} {
		if c.due(x.r, start.Add(x.after)) != x.want {
			t.Errorf("%d: is it due: got %v, want %v", n, !x.want, x.want)
		}
	}
}
