package instance_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// actNative is act on a native server that has been prepared before the instance connects.
func actNative(t *testing.T, prepare func(*sim.Server), test func(*testing.T, *sim.Server, *instance.Instance)) {
	t.Helper()
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.NewNative(t, 1)
		prepare(fleet.Servers[0])
		i := fleet.Instances(instance.Config{Timeout: time.Second})[0]
		if err := i.Claim(); err != nil {
			t.Fatalf("i.Claim: %v", err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			i.Run(t.Context(), instance.NewSet([]*instance.Instance{i}, instance.GuardOff, time.Hour))
		}()
		<-i.Ready()
		test(t, fleet.Servers[0], i)
		i.Close()
		<-ended
	})
}

// releases are what can come of a release, with and without a fence that needs no tombstone.
var releases = []struct {
	name, there string // what the key has: "" is nothing
	want        instance.Kind
}{
	{"ours", "t", instance.Granted},
	{"nothing", "", instance.Gone},
	{"another's", "u", instance.Stolen},
	{"one that begins as ours", "t2", instance.Stolen},
}

// deletionsOf are the native commands that compare and delete, as redistest counts them.
var deletionsOf = []string{"delifeq", "delex"}

// A server that has DELIFEQ or DELEX is asked for that alone where the lock is ours; where it is not, a look at the key tells
// whether it is gone or another's. Where a user may not use it, the script does all, and the command is tried once for each
// connection. Of two the first is used.
func TestReleaseIsOneNativeCommand(t *testing.T) {
	has := func(permitted bool, commands ...string) func(*sim.Server) {
		return func(s *sim.Server) {
			for _, command := range commands {
				s.HasDeletion(command, permitted)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare               func(*sim.Server)
		command               string
		native, script, looks int // for ours, nothing, another's, and one that begins as ours
	}{
		"DELIFEQ":                {has(true, "DELIFEQ"), "DELIFEQ key token", 4, 0, 3},
		"DELEX":                  {has(true, "DELEX"), "DELEX key IFEQ token", 4, 0, 3},
		"both":                   {has(true, "DELEX", "DELIFEQ"), "DELIFEQ key token", 4, 0, 3},
		"DELIFEQ, not permitted": {has(false, "DELIFEQ"), "DELIFEQ key token", 1, 4, 0},
		"DELEX, not permitted":   {has(false, "DELEX"), "DELEX key IFEQ token", 1, 4, 0},
		"neither":                {has(true), "", 0, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			actNative(t, c.prepare, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				s.ForgetCalls()
				reply := make(answer, 1)
				for n, r := range releases {
					key := fmt.Sprint("key", n)
					if r.there != "" {
						s.Set(key, r.there, time.Minute)
					}
					i.Post(&instance.Release{Key: key, Token: "t", TTL: time.Minute, To: reply})
					if v := <-reply; v.Kind != r.want {
						t.Errorf("%s: got %v, want %v", r.name, v, r.want)
					}
					left := r.there
					if r.want == instance.Granted {
						left = ""
					}
					if got := s.Get(key); got != left {
						t.Errorf("%s: the key has %q afterwards, want %q", r.name, got, left)
					}
				}
				native, script, looks := 0, 0, 0
				for _, call := range s.Calls() {
					switch strings.ToUpper(call.Args[0]) {
					case "DELIFEQ", "DELEX":
						native++
						sent := strings.ToUpper(strings.Join(call.Args, " "))
						if want := strings.NewReplacer("key", call.Args[1], "token", "t").Replace(c.command); sent != strings.ToUpper(want) {
							t.Errorf("sent was %s, want %s", sent, want)
						}
					case "EVALSHA":
						script++
					case "PTTL":
						looks++
					}
				}
				if native != c.native || script != c.script || looks != c.looks {
					t.Errorf("%d native commands, %d scripts and %d looks, want %d, %d and %d", native, script, looks, c.native, c.script, c.looks)
				}
			})
		})
	}
}

// Where the native command is refused, the script is what is sent next: none is loaded, of a server that has them.
func TestReleaseThatIsRefusedNativelyTakesOneRoundTripMore(t *testing.T) {
	const oneWay = 10 * time.Millisecond
	for _, command := range []string{"DELIFEQ", "DELEX"} {
		t.Run(command, func(t *testing.T) {
			actNative(t, func(s *sim.Server) { s.HasDeletion(command, false) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				s.Set("key", "t", time.Minute)
				s.Jitter(oneWay, oneWay)
				reply := make(answer, 1)
				begun := time.Now()
				i.Post(&instance.Release{Key: "key", Token: "t", TTL: time.Minute, To: reply})
				if v := <-reply; v.Kind != instance.Granted {
					t.Errorf("got %v, want %v", v, instance.Granted)
				}
				if got, want := time.Since(begun), 4*oneWay; got != want {
					t.Errorf("it took %v, want %v", got, want)
				}
			})
		})
	}
}

// A server that refuses the native command, and has lost the scripts that take its place, gets them once more: the release, which
// is then sent for the third time, is carried out.
func TestReleaseThatIsRefusedNativelyByAServerWithoutScripts(t *testing.T) {
	for _, command := range []string{"DELIFEQ", "DELEX"} {
		t.Run(command, func(t *testing.T) {
			actNative(t, func(s *sim.Server) { s.HasDeletion(command, false) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				s.Set("key", "t", time.Minute)
				s.ForgetScripts()
				reply := make(answer, 1)
				i.Post(&instance.Release{Key: "key", Token: "t", TTL: time.Minute, To: reply})
				if v := <-reply; v.Kind != instance.Granted {
					t.Errorf("got %v, want %v", v, instance.Granted)
				}
				if got := s.Get("key"); got != "" {
					t.Errorf("the key has %q afterwards, want none", got)
				}
			})
		})
	}
}

// On a real server: what a release says, whatever the server has.
func TestReleaseSaysWhatBecameOfTheLock(t *testing.T) {
	f := startFenced(t)
	uses := "" // the first that it has
	for _, command := range deletionsOf {
		if uses == "" && f.Knows(command) {
			uses = command
		}
	}
	reply := make(answer, len(releases))
	for _, together := range []bool{false, true} { // those that are posted together may go out in one script call
		f.MustDo("CONFIG", "RESETSTAT")
		var posts []instance.Command
		for n, r := range releases {
			key := fmt.Sprint("key ", n)
			f.Del(key)
			if r.there != "" {
				f.Set(key, r.there, time.Minute)
			}
			posts = append(posts, &instance.Release{Key: key, Token: "t", TTL: time.Minute, To: reply})
		}
		got := make(map[instance.Kind]int)
		if together {
			f.instance.Post(posts...)
			for range posts {
				got[(<-reply).Kind]++
			}
		} else {
			for _, post := range posts {
				f.instance.Post(post)
				got[(<-reply).Kind]++
			}
		}
		if got[instance.Granted] != 1 || got[instance.Gone] != 1 || got[instance.Stolen] != 2 {
			t.Errorf("together %v: got %v, want one granted, one gone, two stolen", together, got)
		}
		for _, command := range deletionsOf {
			want := 0
			if command == uses {
				want = len(releases)
			}
			if calls := f.Calls(command); calls != want {
				t.Errorf("together %v: %s was called %d times, want %d", together, command, calls, want)
			}
		}
		f.MustDo("LPUSH", "list", "x")
		f.instance.Post(&instance.Release{Key: "list", Token: "t", TTL: time.Millisecond, To: reply})
		if v := <-reply; v.Kind != instance.Refused || !fault.IsWrongType(v.Err) {
			t.Errorf("something else: got %v, want it refused, as there is something else", v)
		}
		f.Del("list")
	}
}

// Whoever has perhaps been heard already is not told that the lock was gone: a release that is sent twice has deleted it.
func TestNativeReleaseThatIsSentTwice(t *testing.T) {
	for _, deletion := range []string{"DELIFEQ", "DELEX"} {
		t.Run(deletion, func(t *testing.T) {
			actNative(t, func(s *sim.Server) { s.HasDeletion(deletion, true) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				s.Set("key", "t", time.Minute)
				s.LoseReplies(true)
				reply := make(answer, 1)
				i.Post(&instance.Release{Key: "key", Token: "t", TTL: time.Minute, To: reply})
				synctest.Wait()
				if got := s.Get("key"); got != "" {
					t.Fatalf("the key has %q, want it deleted by the first", got)
				}
				s.LoseReplies(false)
				s.Break()
				if v := <-reply; v.Kind != instance.Granted {
					t.Errorf("got %v, want it granted", v)
				}
			})
		})
	}
}

// What an instance that is down is owed is paid when it is back, whether or not its user may use the native command.
func TestNativeReleaseIsOwed(t *testing.T) {
	for _, deletion := range []string{"DELIFEQ", "DELEX"} {
		for _, permitted := range []bool{true, false} {
			t.Run(fmt.Sprint(deletion, " permitted ", permitted), func(t *testing.T) {
				actNative(t, func(s *sim.Server) { s.HasDeletion(deletion, permitted) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
					testDebts(t, s, i)
					native, script := 0, 0
					for _, call := range s.Calls() {
						switch strings.ToUpper(call.Args[0]) {
						case deletion:
							if len(call.Args) > 1 { // else it asks whether the server has it
								native++
							}
						case "EVALSHA":
							if call.Args[2] != "0" { // else it asks whether the server has them
								script++
							}
						}
					}
					scripts := 3
					if permitted {
						scripts = 0
					}
					if native != 3 || script != scripts {
						t.Errorf("paid by %d native commands and %d scripts, want 3 and %d", native, script, scripts)
					}
				})
			})
		}
	}
}

func testDebts(t *testing.T, s *sim.Server, i *instance.Instance) {
	for _, key := range []string{"a", "b", "another's"} {
		s.Set(key, "t", time.Minute)
	}
	s.Set("another's", "u", time.Minute)
	s.Hang()
	var late votes
	for _, key := range []string{"a", "b", "another's"} {
		i.Post(&instance.Release{Key: key, Token: "t", TTL: time.Minute, To: &late})
	}
	time.Sleep(2 * time.Second) // simulated: they are late, and the instance is down
	s.Break()                   // what lies in its sockets is lost
	s.ForgetCalls()
	s.Thaw()
	time.Sleep(10 * time.Second)
	if keys := s.Keys(); len(keys) != 1 || s.Get("another's") != "u" {
		t.Errorf("it has %q, want another's alone", keys)
	}
}
