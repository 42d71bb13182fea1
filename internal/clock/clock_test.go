package clock

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNobodySleepsWhileTheTestRuns(t *testing.T) {
	first := Now()
	for range 1000 {
		if now := Now(); now.Slept != first.Slept {
			t.Fatalf("the machine has slept for %v", now.Slept-first.Slept)
		}
	}
	if runtime.GOOS == "linux" && booted == 0 {
		t.Error("CLOCK_BOOTTIME cannot be read")
	}
}

func TestNobodySleepsInABubble(t *testing.T) {
	before := Now()
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			start := Now()
			time.Sleep(time.Hour)
			for _, now := range []Moment{Now(), Sample()} {
				if now.Slept != before.Slept || start.Add(2*time.Hour).Until(now) != time.Hour {
					t.Fatalf("slept for %v, %v left", now.Slept-before.Slept, start.Add(2*time.Hour).Until(now))
				}
			}
		}
	})
	if after := Now(); after.Slept != before.Slept {
		t.Errorf("behind the bubble it seems that the machine slept for %v", after.Slept-before.Slept)
	}
}

func TestSleepThatIsNoticedIsNotForgotten(t *testing.T) {
	before, noticed := Now().Slept, time.Duration(known.Load())
	learn(noticed + time.Hour)
	learn(noticed + time.Minute)
	if slept := Now().Slept - before; slept != time.Hour {
		t.Errorf("slept for %v", slept)
	}
	learn(noticed + time.Hour + least - 1)
	if slept := Sample().Slept - before; slept != time.Hour {
		t.Errorf("noise is taken for sleep: %v", slept)
	}
	Inject(time.Second)
	if slept := Sample().Slept - before; slept != time.Hour+time.Second {
		t.Errorf("slept for %v", slept)
	}
}

func TestMomentPassesOnTheFirstClockOnWhichItDoes(t *testing.T) {
	now := time.Now()
	at := func(monotonic, slept time.Duration) Moment { return Moment{now.Add(monotonic), slept} }
	for name, c := range map[string]struct {
		deadline, now Moment
		want          time.Duration
	}{
		"all together":                  {at(time.Minute, 0), at(time.Second, 0), 59 * time.Second},
		"slept before it was set":       {at(time.Minute, time.Hour), at(0, time.Hour), time.Minute},
		"slept since":                   {at(time.Minute, time.Hour), at(0, time.Hour+10*time.Second), 50 * time.Second},
		"slept it away":                 {at(time.Minute, 0), at(0, time.Hour), -59 * time.Minute},
		"set by who knows of no sleep":  {at(time.Minute, 0), at(0, time.Second), 59 * time.Second},
		"set by who knows of more":      {at(time.Minute, time.Hour), at(0, 0), time.Minute},
		"the wall clock is ahead":       {Moment{now.Add(time.Minute), 0}, Moment{now.Add(time.Hour).Round(0), 0}, -59 * time.Minute},
		"no monotonic reading at all":   {Moment{now.Add(time.Minute).Round(0), 0}, at(0, 0), time.Minute},
		"passed, and slept on top":      {at(-time.Second, 0), at(0, time.Second), -2 * time.Second},
		"the very moment":               {at(0, 0), at(0, 0), 0},
		"the moment, after a short nap": {at(0, 0), at(0, least), -least},
	} {
		if got := c.deadline.Until(c.now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestLaterCountsSleep(t *testing.T) {
	now := time.Now()
	awake, slept := Moment{now.Add(time.Second), 0}, Moment{now, 2 * time.Second}
	if !slept.Later(awake) || awake.Later(slept) || awake.Later(awake) || !awake.Later(Moment{Time: now}) {
		t.Error("a later moment is one behind which more time, awake or asleep, has gone by")
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		_ = Now()
	}
}

func BenchmarkSample(b *testing.B) {
	for b.Loop() {
		_ = Sample()
	}
}

func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
