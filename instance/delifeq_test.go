package instance_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// actNative is act on a native server that has been prepared before the instance connects.
func actNative(t *testing.T, prepare func(*sim.Server), test func(*testing.T, *sim.Server, *instance.Instance)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
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

// A server that has DELIFEQ is asked for that alone where the lock is ours; where it is not, a look at the key tells whether
// it is gone or another's. Where a user may not use it, the script does all, and DELIFEQ is tried once for each connection.
func TestReleaseIsOneNativeCommand(t *testing.T) {
	for name, c := range map[string]struct {
		prepare               func(*sim.Server)
		native, script, looks int // for ours, nothing, another's, and one that begins as ours
	}{
		"it has it":     {func(s *sim.Server) { s.HasDelIfEq(true) }, 4, 0, 3},
		"not permitted": {func(s *sim.Server) { s.HasDelIfEq(false) }, 1, 4, 0},
		"it has it not": {func(*sim.Server) {}, 0, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			actNative(t, c.prepare, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				s.ForgetCalls()
				reply := make(answer, 1)
				for n, r := range releases {
					key := fmt.Sprint("key ", n)
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
					case "DELIFEQ":
						native++
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

// On a real server: what a release says, whatever the server has.
func TestReleaseSaysWhatBecameOfTheLock(t *testing.T) {
	f := startFenced(t)
	has := f.Knows("delifeq")
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
		if calls := f.Calls("delifeq"); has && calls != len(releases) || !has && calls != 0 {
			t.Errorf("together %v: DELIFEQ was called %d times, and the server has it: %v", together, calls, has)
		}
		f.MustDo("LPUSH", "list", "x")
		f.instance.Post(&instance.Release{Key: "list", Token: "t", TTL: time.Millisecond, To: reply})
		if v := <-reply; v.Kind != instance.Refused || !strings.Contains(v.Err.Error(), "WRONGTYPE") {
			t.Errorf("something else: got %v, want it refused as WRONGTYPE", v)
		}
		f.Del("list")
	}
}

// Whoever has perhaps been heard already is not told that the lock was gone: a release that is sent twice has deleted it.
func TestNativeReleaseThatIsSentTwice(t *testing.T) {
	actNative(t, func(s *sim.Server) { s.HasDelIfEq(true) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
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
}

// What an instance that is down is owed is paid when it is back, whether or not its user may use DELIFEQ.
func TestNativeReleaseIsOwed(t *testing.T) {
	for _, permitted := range []bool{true, false} {
		t.Run(fmt.Sprint("permitted ", permitted), func(t *testing.T) {
			actNative(t, func(s *sim.Server) { s.HasDelIfEq(permitted) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
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
				s.Thaw()
				time.Sleep(10 * time.Second)
				if keys := s.Keys(); len(keys) != 1 || s.Get("another's") != "u" {
					t.Errorf("it has %q, want another's alone", keys)
				}
			})
		})
	}
}
