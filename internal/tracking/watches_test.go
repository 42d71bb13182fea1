package tracking

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/internal/reach"
)

// A server may say any number of milliseconds: none becomes a time in the past.
func TestALockThatHasTimeLeftEndsLater(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ms := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, 9223372036854, 9223372036855, 18446744073710, math.MaxInt64})).Draw(r, "ms")
		w := NewWatch("r")
		s := newWatches()
		s.Keep(w)
		s.asked = append(s.asked, question{w})
		s.conn = reach.Unopened{}
		before := time.Now()
		s.answer(ms)
		if o, until := w.Outlook(); ms >= 0 && (o != Promised || until.Before(before)) {
			r.Errorf("%d ms left end at %v, and the outlook is %d", ms, until, o)
		}
	})
}
