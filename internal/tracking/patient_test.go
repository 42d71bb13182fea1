package tracking_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

const user, password = "watcher", "pw"

// track runs a tracker at a server as a user with these rights.
func track(t *testing.T, server *redistest.Server, rights string) *tracking.Tracker {
	t.Helper()
	server.User(user, password, "~* "+rights)
	opt := &redis.Options{Addr: server.Addr(), Username: user, Password: password}
	reach.Tune(opt, 5*time.Second)
	tracker := tracking.New(tracking.Options{
		Redis: opt, Timeout: 5 * time.Second,
		Dial:      func(context.Context) (net.Conn, error) { return net.Dial(server.Network(), server.Addr()) },
		IsSame:    func(context.Context, *redis.Conn, time.Time) error { return nil },
		Elsewhere: func(*resp.Reply) bool { return false },
		Redact:    func(err error) error { return err },
	})
	t.Cleanup(tracker.Running(t.Context(), slog.New(slog.DiscardHandler)))
	return tracker
}

// watchAll has watches kept that look first, and waits until the server has promised to tell.
func watchAll(t *testing.T, tracker *tracking.Tracker, server *redistest.Server, n int) []*tracking.Watch {
	t.Helper()
	watches := make([]*tracking.Watch, n)
	for i := range watches {
		key := fmt.Sprint("k", i)
		server.Set(key, "somebody", time.Hour)
		watches[i] = tracking.NewWatch(key)
		watches[i].Patient = time.Now()
		tracker.Keep(watches[i])
	}
	promised(t, watches)
	return watches
}

func promised(t *testing.T, watches []*tracking.Watch) {
	t.Helper()
	testkit.Eventually(t, "all are promised to be told", func() bool {
		for _, w := range watches {
			if outlook, _ := w.Outlook(); outlook != tracking.Promised {
				return false
			}
		}
		return true
	})
}

// told returns which have been told.
func told(watches []*tracking.Watch) (which []string) {
	for _, w := range watches {
		select {
		case <-w.C:
			which = append(which, w.Key)
		default:
		}
	}
	return which
}

const enough = "+hello +client|tracking +pttl"

// A watch that looks first hears of the end, and of nothing else: also where each
// key is a question of its own, as without the right to EXISTS.
func TestAPatientWatchHearsOfTheEndAlone(t *testing.T) {
	for name, rights := range map[string]string{"of many at once": enough + " +exists", "one by one": enough} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			tracker := track(t, server, rights)
			watches := watchAll(t, tracker, server, 300)
			for range 3 {
				for _, w := range watches {
					server.MustDo("PEXPIRE", w.Key, "3600000")
				}
				promised(t, watches)
			}
			if which := told(watches); len(which) > 0 {
				t.Fatalf("%v were told of a renewal", which)
			}
			for _, i := range []int{0, 150, 299} {
				for k, w := range watches { // so that the end comes among many renewals
					if k == i {
						server.Del(w.Key)
					} else {
						server.MustDo("PEXPIRE", w.Key, "3600000")
					}
				}
				w := watches[i]
				select {
				case <-w.C:
				case <-time.After(10 * time.Second):
					t.Fatalf("%s was not told that its key is gone", w.Key)
				}
				if !w.IsFree() {
					t.Errorf("%s is not said to be free", w.Key)
				}
				server.Set(w.Key, "somebody", time.Hour)
				tracker.Keep(w)
				promised(t, watches)
			}
			if which := told(watches); len(which) > 0 {
				t.Errorf("%v were told, and their keys are there", which)
			}
		})
	}
}

// Where the server cannot remember all that is watched, each promise breaks another. That makes
// the word come later, and no more questions.
func TestATrackingTableThatIsTooSmallIsNoStorm(t *testing.T) {
	server := redistest.Start(t, "--tracking-table-max-keys", "20")
	tracker := track(t, server, enough+" +exists")
	const n = 300
	watches := make([]*tracking.Watch, n)
	for i := range watches {
		key := fmt.Sprint("k", i)
		server.Set(key, "somebody", time.Hour)
		watches[i] = tracking.NewWatch(key)
		watches[i].Patient = time.Now()
		tracker.Keep(watches[i])
	}
	time.Sleep(time.Second)
	begun, before := time.Now(), server.Calls("exists")+server.Calls("pttl")
	time.Sleep(2 * time.Second)
	questions := server.Calls("exists") + server.Calls("pttl") - before
	if most := 60 * time.Since(begun).Seconds(); float64(questions) > most || questions == 0 {
		t.Errorf("%d questions in %v, want 1 to %.0f", questions, time.Since(begun), most)
	}
	server.Del("k7")
	select {
	case <-watches[7].C:
	case <-time.After(10 * time.Second):
		t.Error("it was not told that its key is gone")
	}
	if which := told(watches); len(which) > 0 {
		t.Errorf("%v were told, and their keys are there", which)
	}
}
