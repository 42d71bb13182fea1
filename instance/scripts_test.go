package instance_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Whatever is asked about a name under which somebody else keeps much, the server does not even copy it: no command that
// it runs for us has GET of it, and none has it sent.
func TestNothingReadsAllThatIsThere(t *testing.T) {
	f := startFenced(t)
	f.MustDo("SETRANGE", "lock", fmt.Sprint(1<<20), "x")
	f.MustDo("SETRANGE", "fences:1", fmt.Sprint(1<<20), "x")
	f.MustDo("CONFIG", "RESETSTAT")
	fencings := []instance.Fencing{{}, f.fencing(1)}
	for _, fencing := range fencings {
		for _, askLeft := range []bool{false, true} {
			a := make(answer, 1)
			f.instance.Post(&instance.Acquire{
				Key: "lock", Token: "token", TTL: time.Hour, GiveUp: time.Now().Add(time.Hour), AskLeft: askLeft, Fencing: fencing, To: a,
			})
			if v := <-a; v.Kind != instance.Held || v.Err != instance.ErrForeign || len(v.Holder) > 64 || len(v.String()) > 400 { // the bare value
				t.Errorf("acquire: %v", v)
			}
		}
		a := make(answer, 1)
		f.instance.Post(&instance.Renew{Items: []instance.Renewal{{Key: "lock", Token: "token", TTL: time.Hour, Fencing: fencing}}, To: a})
		if v := <-a; v.Kind != instance.Stolen {
			t.Errorf("renew: %v", v)
		}
	}
	a, many := make(answer, 1), make(answer, 2)
	f.instance.Post(&instance.Inspect{Key: "lock", To: a})
	if v := <-a; v.Kind != instance.Held || v.Err != instance.ErrForeign { // the bare value
		t.Errorf("inspect: %v", v)
	}
	f.instance.Post(&instance.Release{Key: "lock", Token: "token", TTL: time.Hour, To: a})
	if v := <-a; v.Kind != instance.Stolen {
		t.Errorf("release: %v", v)
	}
	f.instance.Post(&instance.Release{Key: "lock", Token: "token", TTL: time.Hour, To: many}, &instance.Release{Key: "lock", Token: "other", TTL: time.Hour, To: many})
	for range 2 {
		if v := <-many; v.Kind != instance.Stolen {
			t.Errorf("release of many: %v", v)
		}
	}
	stats, _ := f.MustDo("INFO", "commandstats").(string)
	if strings.Contains(stats, "cmdstat_get:") {
		t.Errorf("it was read whole: %s", stats)
	}
	stats, _ = f.MustDo("INFO", "stats").(string)
	var sent int
	_, behind, _ := strings.Cut(stats, "total_net_output_bytes:")
	if _, err := fmt.Sscan(behind, &sent); err != nil || sent > 64<<10 {
		t.Errorf("it was sent: %d bytes, %v", sent, err)
	}
}

// Where GETRANGE is not permitted, everything works as it always has.
func TestScriptsWorkWithoutGETRANGE(t *testing.T) {
	server := redistest.Start(t)
	server.User("me", "pw", "~* +@all -getrange -exists")
	i, err := instance.Dial(strings.Replace(server.URL(), "unix://", "unix://me:pw@", 1), instance.Config{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	run(t, i, func() {
		ask := func(askLeft bool, token string) instance.Vote {
			a := make(answer, 1)
			m := acquireTo(a, token)
			m.AskLeft = askLeft
			i.Post(m)
			return <-a
		}
		if v := ask(true, "first"); v.Kind != instance.Granted {
			t.Errorf("got %v, want it granted", v)
		}
		if v := ask(false, "second"); v.Kind != instance.Held {
			t.Errorf("got %v, want it held, by the first if anybody is named", v)
		}
		if v := ask(true, "second"); v.Kind != instance.Held || v.Holder != "first" {
			t.Errorf("got %v, want it held, by the first if anybody is named", v)
		}
		a := make(answer, 1)
		i.Post(releaseTo(a, "first"))
		if v := <-a; v.Kind != instance.Granted {
			t.Errorf("got %v, want it granted", v)
		}
		server.MustDo("SETRANGE", "k", "5000", "x")
		if v := ask(true, "second"); v.Kind != instance.Held || v.Err != instance.ErrForeign { // the bare value
			t.Errorf("got %v, want it held, by the first if anybody is named", v)
		}
	})
}
