package engine

import (
	"math"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// A lock that lives for longer than a time.Duration does not shorten a pause, and a pause may be as long.
func TestNoTimeIsTooLongForAPause(t *testing.T) {
	for _, c := range []struct{ left, pause, want time.Duration }{
		{time.Second, time.Minute, time.Second + time.Millisecond},
		{time.Minute, time.Second, time.Second},
		{math.MaxInt64, time.Second, time.Second},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64},
		{0, time.Second, time.Millisecond},
		{0, 0, 0},
		{-1, time.Second, time.Second},
	} {
		held := &QuorumError{Votes: []instance.Vote{{Kind: instance.Held, Left: c.left}}}
		if got := soonest(held, c.pause); got != c.want {
			t.Errorf("%v left, a pause of %v: %v, want %v", c.left, c.pause, got, c.want)
		}
	}
	if got := majorityEnds([]time.Duration{0, math.MaxInt64, -1, 1}, 2); got != math.MaxInt64 {
		t.Errorf("a majority has it for %v", got)
	}
}
