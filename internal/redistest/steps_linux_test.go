package redistest

import (
	"testing"
	"time"
)

func TestStepClockMovesTheServersClockWhileItRuns(t *testing.T) {
	s := StartSteppableN(t, 1)[0]
	s.Set("k", "v", time.Minute)
	for _, c := range []struct{ step, left time.Duration }{
		{20 * time.Second, 40 * time.Second},
		{-80 * time.Second, 120 * time.Second},
		{60 * time.Second, time.Minute},
	} {
		s.StepClock(c.step)
		if left := s.PTTL("k"); left > c.left || left < c.left-10*time.Second {
			t.Errorf("after a step of %v the key has %v left, want about %v", c.step, left, c.left)
		}
	}
	s.StepClock(2 * time.Minute)
	if s.Get("k") != "" {
		t.Error("the key has not expired")
	}
}
