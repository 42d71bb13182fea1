package model

import (
	"strings"
	"testing"
)

// turns are two who wait for one thing. Each may want it, take it and give it back.
type turns struct {
	wants [2]bool
	has   int8 // 0: nobody
	next  int8 // whose turn it is, if anybody's
}

const (
	want uint8 = iota
	take
	giveBack
	breakDown
)

// taking is their model: who may take it, as the rules say.
func taking(may func(s turns, who int8) bool) Model[turns] {
	return Model[turns]{
		Next: func(s turns, to func(Step, turns)) {
			for who := range int8(2) {
				next := s
				switch {
				case s.has == 3:
				case s.has == who+1:
					next.has, next.next = 0, 2-who
					to(Step{What: giveBack, Who: uint8(who)}, next)
				case !s.wants[who]:
					next.wants[who] = true
					to(Step{What: want, Who: uint8(who)}, next)
				case s.has == 0 && may(s, who):
					next.wants[who], next.has = false, who+1
					to(Step{What: take, Who: uint8(who)}, next)
				}
			}
			if s.has == 0 {
				s.has = 3
				to(Step{What: breakDown}, s)
			}
		},
		Wrong: func(turns) string { return "" },
		Say:   func(s Step) string { return [...]string{"want", "take", "give back", "break"}[s.What] },
	}
}

func served(who int) Promise[turns] {
	return Promise[turns]{
		Waits: func(s turns) bool { return s.wants[who] && s.has != 3 },
		Fair:  func(s Step) bool { return s.What == take || s.What == giveBack },
	}
}

func TestWhoMayAlwaysTakeIsServedInFairRuns(t *testing.T) {
	for who := range 2 {
		r := CheckLive(taking(func(turns, int8) bool { return true }), served(who), 1000)
		if r.Wrong != "" || !r.Complete || r.States < 10 {
			t.Errorf("%v", r)
		}
	}
}

func TestWhoIsNeverLetInWaitsForEver(t *testing.T) {
	first := func(s turns, who int8) bool { return who == 0 || s.next != 2 }
	if r := CheckLive(taking(first), served(0), 1000); r.Wrong != "" {
		t.Errorf("the first: %v", r)
	}
	p := served(1)
	p.Fair = func(s Step) bool { return s.What != breakDown } // the first wants it again and again
	r := CheckLive(taking(first), p, 1000)
	if !strings.Contains(r.Wrong, "goes round") || len(r.Trace) == 0 {
		t.Errorf("the second is passed over for ever, and found is %v", r)
	}
}

func TestARunThatEndsServesNobody(t *testing.T) {
	p := served(1)
	p.Waits = func(s turns) bool { return s.wants[1] }
	r := CheckLive(taking(func(turns, int8) bool { return true }), p, 1000)
	if !strings.Contains(r.Wrong, "ends") || len(r.Trace) != 2 || r.Trace[1] != "break" {
		t.Errorf("it breaks down when one waits, and found is %v", r)
	}
}
