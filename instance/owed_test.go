package instance_test

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// A release that the server refuses is tried again by itself, every half second, though nobody asks the instance for anything: a
// lock that nobody holds is not to keep others out for the rest of its TTL.
func TestReleaseThatIsRefusedIsTriedAgainWithoutTraffic(t *testing.T) {
	actNative(t, func(*sim.Server) {}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Set("key", "t", time.Hour)
		time.Sleep(time.Minute) // simulated: all is quiet
		s.Refuse("BUSY Redis is busy running a script")
		reply := make(answer, 1)
		i.Post(&instance.Release{Key: "key", Token: "t", TTL: time.Hour, To: reply})
		if v := <-reply; v.Kind != instance.Refused {
			t.Fatalf("got %v, want it refused", v)
		}
		time.Sleep(1200 * time.Millisecond)
		s.Refuse("")
		time.Sleep(600 * time.Millisecond)
		if got := s.Get("key"); got != "" {
			t.Errorf("the key has %q half a second after the server has stopped refusing, want it deleted", got)
		}
	})
}
