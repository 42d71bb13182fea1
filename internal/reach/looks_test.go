package reach

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/restart"
)

func TestAnAddressThatLeadsBackLeadsToSeveralServers(t *testing.T) {
	type sight struct {
		at         time.Duration
		runID      string
		took       time.Duration
		wantsSplit bool
	}
	for name, sights := range map[string][]sight{
		"one":                                {{0, "a", 0, false}, {time.Hour, "a", 0, false}},
		"a move":                             {{0, "a", 0, false}, {5, "b", 0, false}, {6, "b", 0, false}},
		"a restart after the other":          {{0, "a", 0, false}, {1, "b", 0, false}, {2, "c", 0, false}, {3, "d", 0, false}},
		"two by turns":                       {{0, "a", 0, false}, {1, "b", 0, false}, {2, "a", 0, true}, {3, "a", 0, true}, {4, "b", 0, true}},
		"three by turns":                     {{0, "a", 0, false}, {1, "b", 0, false}, {2, "c", 0, false}, {3, "a", 0, true}},
		"a move, and back much later":        {{0, "a", 0, false}, {1, "b", 0, false}, {1 + splitFor, "a", 0, false}},
		"back after a long time with one":    {{0, "a", 0, false}, {time.Hour, "b", 0, false}, {time.Hour + 1, "a", 0, true}},
		"mended":                             {{0, "a", 0, false}, {1, "b", 0, false}, {2, "a", 0, true}, {1 + splitFor, "a", 0, true}, {2 + splitFor, "a", 0, false}},
		"a connection from before a move":    {{0, "a", 0, false}, {10, "b", 0, false}, {12, "a", 5, false}, {13, "b", 0, false}},
		"nothing is known":                   {{0, "a", 0, false}, {1, "b", 0, false}, {2, "", 0, false}},
		"begun at the very moment of a move": {{0, "a", 0, false}, {10, "b", 0, false}, {15, "a", 5, true}},
	} {
		var s seen
		start := time.Now()
		for n, x := range sights {
			now := start.Add(x.at)
			if err := s.saw("redis:6379", x.runID, now.Add(-x.took), now); errors.Is(err, ErrSplit) != x.wantsSplit {
				t.Errorf("%s: sight %d: %v", name, n, err)
			}
		}
	}
	var s seen
	start := time.Now()
	for n, x := range []struct{ at, runID string }{{"a:1", "a"}, {"b:1", "b"}, {"a:1", "a"}} { // sentinels that move the master there and back
		if err := s.saw(x.at, x.runID, start.Add(time.Duration(n)), start.Add(time.Duration(n))); err != nil {
			t.Errorf("s.saw: %v", err)
		}
	}
}

// A failover client's own dialer asks the sentinels: its address is not ours to know, and the
// next connection may lead to the new master while the link to the old one still stands.
func TestAnotherServerAtAnUnknownAddressIsNoticed(t *testing.T) {
	opened := time.Now()
	var left []time.Time
	l := &Looks{
		Leave: func(opened time.Time) { left = append(left, opened) },
		Log:   slog.New(slog.DiscardHandler),
		ends:  Terminus{RunID: "old", Opened: opened},
	}
	if err := l.met(restart.Sighting{RunID: "new"}, opened.Add(time.Second)); !errors.Is(err, errStranger) {
		t.Errorf("who is met there is no stranger: %v", err)
	}
	if !slices.Equal(left, []time.Time{opened}) {
		t.Errorf("links were left: %v, want the one of %v", left, opened)
	}
}
