package pace

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// done is how many times it is done in so long by one that does it whenever it may, looking every millisecond.
func done(p *Pace, now *time.Time, lasts, every time.Duration, burst int) (n int) {
	for end := now.Add(lasts); now.Before(end); *now = now.Add(time.Millisecond) {
		for !p.Next(every, burst).After(*now) {
			p.Take(every, *now)
			n++
		}
	}
	return n
}

func TestSomethingIsDoneOnceInEachInterval(t *testing.T) {
	const every = 10 * time.Millisecond
	for _, burst := range []int{1, 4} {
		var p Pace
		now := time.Now()
		for range 2 { // at first, and after a quiet time
			if n := done(&p, &now, time.Millisecond, every, burst); n != burst {
				t.Errorf("%d times at once, want %d", n, burst)
			}
			if n := done(&p, &now, time.Second, every, burst); n != 100 {
				t.Errorf("%d times in 100 intervals, of which none has been left out", n)
			}
			now = now.Add(time.Second)
		}
	}
}
