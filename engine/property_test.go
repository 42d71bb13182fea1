package engine

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/instance"
)

// A ballot counts as a person would, and wakes its caller once: when it is decided,
// or by the first vote if that is what the caller waits for, unless the caller has
// left before. One that was woken by the first vote may go on waiting.
func TestBallotIsCountedAsByHand(t *testing.T) {
	b := new(ballot) // used again and again, as an attempt's is
	var voters []*instance.Instance
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "voters")
		if n != len(voters) {
			*b, voters = ballot{}, make([]*instance.Instance, n)
			for i := range voters {
				voters[i] = new(instance.Instance)
			}
		}
		b.open(voters)
		b.first = rapid.Bool().Draw(t, "first")
		votes := make([]instance.Vote, n)
		yes, no, first, closed := 0, 0, b.first, false
		rung, waits := false, true
		decided := func() bool { return 2*yes > n || 2*(n-no) <= n }
		t.Repeat(map[string]func(*rapid.T){
			"cast": func(t *rapid.T) {
				seat := rapid.IntRange(0, n-1).Draw(t, "place")
				if votes[seat].Kind != instance.Unanswered {
					t.Skip("has voted")
				}
				v := instance.Vote{Kind: rapid.SampledFrom([]instance.Kind{instance.Granted, instance.Held, instance.TimedOut}).Draw(t, "vote")}
				if v.Kind == instance.Held {
					v.Holder = "somebody"
				}
				if v.Kind == instance.Granted {
					yes++
				} else {
					no++
				}
				votes[seat] = v
				b.cast(seat, v, v.Kind == instance.Granted)
				if !closed && (first || decided()) {
					rung, closed = true, true
				}
			},
			"wake up": func(t *rapid.T) {
				if !rung {
					t.Skip("asleep")
				}
				<-b.done
				rung, waits = false, false
			},
			"wait on": func(t *rapid.T) {
				if waits || !first {
					t.Skip("has not been woken by the first vote")
				}
				first, closed, waits = false, decided(), !decided()
				if b.resume() != closed {
					t.Errorf("%d yes, %d no of %d: decided: %v", yes, no, n, !closed)
				}
			},
			"leave": func(t *rapid.T) {
				if !waits {
					t.Skip("is not waiting")
				}
				if b.leave() != closed {
					t.Errorf("%d yes, %d no of %d: woken: %v", yes, no, n, !closed)
				}
				first, closed, rung, waits = false, true, false, false
			},
			"": func(t *rapid.T) {
				if b.won() != (2*yes > n) {
					t.Errorf("%d yes of %d: won: %v", yes, n, b.won())
				}
				if !slices.Equal(b.result(), votes) {
					t.Errorf("%v, want %v", b.result(), votes)
				}
				if (len(b.done) == 1) != rung {
					t.Errorf("%d yes, %d no of %d: the caller is woken: %v", yes, no, n, !rung)
				}
			},
		})
		if rung {
			<-b.done
		}
	})
}

// A line is a list: the first in it is the head, is told so, and hears of releases.
func TestLinesAreListsWhoseFirstIsTheHead(t *testing.T) {
	const limit = 12
	rapid.Check(t, func(t *rapid.T) {
		l := newLines(limit)
		r := new(request)
		lists := make(map[string][]*waiter)
		heads := make(map[*waiter]bool) // has been told, or was the first from the start
		holds := make(map[string]bool)  // whether the last head of a line that left held the resource
		resource := rapid.SampledFrom([]string{"a", "b"})
		one := func(t *rapid.T) (string, *waiter) {
			name := resource.Draw(t, "resource")
			if len(lists[name]) == 0 {
				t.Skip("nobody there")
			}
			return name, rapid.SampledFrom(lists[name]).Draw(t, "waiter")
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				name := resource.Draw(t, "resource")
				w := l.join(name)
				if full := len(lists["a"])+len(lists["b"]) == limit; full != (w == nil) {
					t.Fatalf("full: %v", !full)
				}
				if w == nil {
					return
				}
				if first := len(lists[name]) == 0; first != (w.head == nil) {
					t.Errorf("the first: %v", !first)
				}
				heads[w] = w.head == nil
				lists[name] = append(lists[name], w)
			},
			"leave": func(t *rapid.T) {
				name, w := one(t)
				held := rapid.Bool().Draw(t, "holds")
				if w == lists[name][0] {
					holds[name] = held
				}
				l.leave(w, held, nil)
				delete(heads, w)
				lists[name] = slices.DeleteFunc(lists[name], func(other *waiter) bool { return other == w })
			},
			"release": func(t *rapid.T) {
				name, _ := one(t)
				first := lists[name][0]
				l.released(name)
				if len(first.own.wake) != 1 {
					t.Error("the first has not heard of it")
				}
				<-first.own.wake
				for _, w := range lists[name][1:] {
					if len(w.own.wake) != 0 {
						t.Error("another has heard of it")
					}
				}
			},
			"hand over": func(t *rapid.T) {
				name, w := one(t)
				suits := rapid.Bool().Draw(t, "suits")
				accepting := rapid.Bool().Draw(t, "accepting")
				if accepting {
					l.accept(w, r)
				}
				takes, handed := l.successor(name, func(*request) bool { return suits })
				if want := w == lists[name][0] && accepting && suits; want != (takes == r) {
					t.Errorf("promised %v, should be %v", takes == r, want)
				}
				if takes != nil {
					if again, _ := l.successor(name, func(*request) bool { return true }); again != nil {
						t.Error("it is promised twice")
					}
					handed <- handoff{question: question{fencing: instance.Fencing{Fence: 7}}}
				}
				if h := l.decline(w); (h.question.fencing.Fence == 7) != (takes != nil) {
					t.Errorf("it has %+v, promised: %v", h, takes != nil)
				}
				if h := l.decline(w); h.question.fencing.Fence != 0 {
					t.Error("it is handed over twice")
				}
			},
			"": func(t *rapid.T) {
				for name, list := range lists {
					for n, w := range list {
						if len(w.head) == 1 {
							if held := <-w.head; held != holds[name] {
								t.Errorf("%s: the head is told that the one before holds the resource: %v, want %v", name, held, holds[name])
							}
							heads[w] = true
						}
						if heads[w] != (n == 0) {
							t.Errorf("%s: number %d is the head: %v", name, n, heads[w])
						}
					}
				}
			},
		})
	})
}

// However often a resource is acquired, and however many numbers are wanted with
// each lock, what is reserved stays near the clock, and fences rise.
func TestReservedFencesStayNearTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxTTL := time.Duration(rapid.Int64Range(1, 60_000).Draw(t, "MaxTTL")) * time.Millisecond
		r := request{fencing: true, key: "r", maxTTL: maxTTL, reserve: rapid.Uint64Range(0, maxHandoff).Draw(t, "LocalHandoff")}
		now, fence := time.UnixMicro(1_790_000_000_000_000), uint64(0)
		for range 200 {
			now = now.Add(time.Duration(rapid.Int64Range(1, 20_000).Draw(t, "µs")) * time.Microsecond)
			r.seen = fence
			f := r.propose("", now)
			if f.Fence <= fence {
				t.Fatalf("fence %d after %d", f.Fence, fence)
			}
			if f.Reserved > r.reserve {
				t.Fatalf("%d of %d numbers reserved", f.Reserved, r.reserve)
			}
			fence = f.Fence + f.Reserved
			if ahead := time.Duration(fence-uint64(now.UnixMicro())) * time.Microsecond; f.Reserved > 0 && ahead > min(maxTTL/16, maxHandoff*time.Microsecond) {
				t.Fatalf("%v ahead of the clock", ahead)
			}
		}
	})
}

// The TTL that covers a time is the shortest that does.
func TestTTLCoversWhatItIsAskedToAndNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{DriftFactor: rapid.Float64Range(0, 0.99).Draw(t, "DriftFactor")}
		most := time.Duration(rapid.Int64Range(10, 1<<40).Draw(t, "most")) * time.Millisecond
		d := time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "d"))
		switch ttl := c.covering(d, most); {
		case ttl > most || ttl%time.Millisecond != 0 || ttl <= 0:
			t.Fatalf("got a TTL of %v, want whole milliseconds, from 1 to %v", ttl, most)
		case ttl == most && c.validity(most-time.Millisecond) > d:
			t.Fatalf("%v, where less would do", ttl)
		case ttl < most && (c.validity(ttl) < d || c.validity(ttl-2*time.Millisecond) > d):
			t.Fatalf("%v covers %v", ttl, c.validity(ttl))
		}
	})
}
