package tell

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told notes what it is told, once its gate has been opened.
type told struct {
	gate chan struct{} // nil: there is none
	mu   sync.Mutex
	all  []int
}

func shut() *told { return &told{gate: make(chan struct{})} }

func (t *told) open() { close(t.gate) }

func (t *told) tell(n int) {
	if t.gate != nil {
		<-t.gate
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, n)
}

func (t *told) so() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

func upTo(n int) (all []int) {
	for k := range n {
		all = append(all, k)
	}
	return all
}

func TestWhatIsPutIsToldInOrder(t *testing.T) {
	for _, gather := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var seen told
			q := New(Config[int]{Tell: seen.tell, Limit: 1000, Gather: gather})
			for n := range 500 {
				q.Put(n)
				if n%50 == 0 {
					synctest.Wait()
				}
			}
			q.Close(t.Context())
			if !slices.Equal(seen.so(), upTo(500)) || q.Dropped() != 0 {
				t.Errorf("%v, %d dropped", seen.so(), q.Dropped())
			}
		})
	}
}

// The first is told at once, and what comes soon after it comes together, unless it
// is so much that the queue would be full.
func TestFrequentEventsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen told
		q := New(Config[int]{Tell: seen.tell, Limit: 100, Gather: time.Second})
		defer q.Close(t.Context())
		has := func(want int) {
			t.Helper()
			if synctest.Wait(); len(seen.so()) != want {
				t.Errorf("%d are told, want %d", len(seen.so()), want)
			}
		}
		q.Put(0)
		has(1)
		for n := range 49 {
			q.Put(1 + n)
			has(1)
		}
		time.Sleep(time.Second)
		has(50)
		for n := range 50 {
			q.Put(50 + n)
		}
		has(100)
	})
}

// A func that hangs costs what does not find room, and nobody's time.
func TestPutNeverBlocksAndWhatIsDroppedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := shut()
		var said []uint64
		q := New(Config[int]{Tell: seen.tell, Limit: 10, Reserve: 5, Dropping: func(n uint64) { said = append(said, n) }})
		q.Put(0)
		synctest.Wait() // it is being told
		begun := time.Now()
		for n := range 10 {
			q.Put(1 + n)
		}
		for range 90 {
			q.Put(-1)
		}
		for n := range 5 {
			q.PutReserved(11 + n)
		}
		for range 7 {
			q.PutReserved(-2)
		}
		if time.Since(begun) != 0 || q.Dropped() != 97 {
			t.Errorf("it took %v, and %d were dropped", time.Since(begun), q.Dropped())
		}
		time.Sleep(sayEvery)
		q.Put(-1)
		q.Put(-1)
		if !slices.Equal(said, []uint64{1, 98}) {
			t.Errorf("it was said at %v", said)
		}
		seen.open()
		q.Close(t.Context())
		if !slices.Equal(seen.so(), upTo(16)) {
			t.Errorf("got %v, want all 16 in order", seen.so())
		}
	})
}

func TestCloseTellsWhatIsLeftAndThenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen told
		q := New(Config[int]{Tell: seen.tell, Limit: 10, Gather: time.Hour})
		q.Put(0)
		synctest.Wait()
		q.Put(1)
		q.Close(t.Context())
		q.Put(2)
		q.Close(t.Context())
		synctest.Wait()
		if !slices.Equal(seen.so(), upTo(2)) || q.Dropped() != 1 {
			t.Errorf("%v, %d dropped", seen.so(), q.Dropped())
		}
	})
	New(Config[int]{}).Close(t.Context()) // one that was never used
}

// Its goroutine is left to the func that hangs, and ends with it.
func TestCloseGoesAwayFromAFuncThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := shut()
		q := New(Config[int]{Tell: seen.tell, Limit: 10})
		q.Put(0)
		synctest.Wait()
		for n := range 5 {
			q.Put(1 + n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		q.Close(ctx)
		if time.Since(begun) != time.Second {
			t.Errorf("it took %v", time.Since(begun))
		}
		seen.open()
		<-q.done
		if !slices.Equal(seen.so(), upTo(1)) || q.Dropped() != 5 {
			t.Errorf("%v, %d dropped", seen.so(), q.Dropped())
		}
	})
}

func BenchmarkPut(b *testing.B) {
	for _, gather := range []time.Duration{0, 10 * time.Millisecond} {
		b.Run(gather.String(), func(b *testing.B) {
			q := New(Config[[6]uint64]{Tell: func([6]uint64) {}, Limit: 8192, Gather: gather})
			b.ReportAllocs()
			for b.Loop() {
				q.Put([6]uint64{1})
			}
			q.Close(context.Background())
			b.ReportMetric(float64(q.Dropped())/float64(b.N), "dropped/op")
		})
	}
}
