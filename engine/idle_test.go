package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// Those who wait for long send next to nothing: many keep their places, and look after what has
// changed, in one message. A renewal of what they wait for wakes none of them.
func TestIdleWaitersAreSilent(t *testing.T) {
	const waiters, most, window = 200, 100, 7500 * time.Millisecond
	for n, renewed := range map[int]bool{1: true, 3: true, 2: false} {
		t.Run(fmt.Sprintf("N=%d, renewed: %v", n, renewed), func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet := sim.NewNative(t, n)
				e := start(t, fleet, config())
				set := func(i int, ttl time.Duration) {
					fleet.Each(func(s *sim.Server) { s.Set(fmt.Sprint("r", i), "somebody else", ttl) })
				}
				for i := range waiters {
					set(i, time.Hour)
					acquiring(t.Context(), e, fmt.Sprint("r", i))
				}
				time.Sleep(10 * time.Second) // until all have patience
				fleet.Each((*sim.Server).ForgetCalls)
				const tick = 50 * time.Millisecond
				for k := range int(window / tick) {
					time.Sleep(tick)
					for i := k % 60; i < waiters && renewed; i += 60 { // each every 3s
						set(i, 10*time.Second)
					}
				}
				for _, s := range fleet.Servers {
					calls, asked := s.Calls(), 0
					for _, c := range calls {
						if strings.EqualFold(c.Args[0], "set") {
							asked++
						}
					}
					if got := float64(len(calls)) / window.Seconds(); got > most {
						t.Errorf("%s was sent %.0f commands a second, want %d at most", s.Name(), got, most)
					}
					if asked > 64+16*int(window.Seconds()) { // as if nothing changed: at their pace, together
						t.Errorf("%s was asked for locks %d times in %v", s.Name(), asked, window)
					}
				}
			})
		})
	}
}

// Although nobody is woken by renewals, everybody is by what ends them.
func TestIdleWaitersHearOfTheEnd(t *testing.T) {
	const waiters = 20
	for name, end := range map[string]func(*sim.Server, string){
		"deleted": func(s *sim.Server, key string) { s.Del(key) },
		"expired": func(s *sim.Server, key string) {
			s.Set(key, "somebody else", 2*time.Second)
			time.Sleep(2 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet := sim.NewNative(t, 1)
				e := start(t, fleet, config())
				s := fleet.Servers[0]
				var next []<-chan result
				for i := range waiters {
					s.Set(fmt.Sprint("r", i), "somebody else", time.Hour)
					next = append(next, acquiring(t.Context(), e, fmt.Sprint("r", i)))
				}
				for i := range 200 * waiters { // renewals, some 300 a second
					s.Set(fmt.Sprint("r", i%waiters), "somebody else", time.Hour)
					time.Sleep(3 * time.Millisecond)
				}
				for i, n := range next {
					pending(t, n)
					end(s, fmt.Sprint("r", i))
					gone := time.Now()
					r := <-n
					if r.err != nil {
						t.Fatalf("acquire: %v", r.err)
					}
					between(t, "the hand-over", r.at.Sub(gone), 0, 80*time.Millisecond)
					time.Sleep(3 * time.Millisecond)
				}
				synctest.Wait()
			})
		})
	}
}
