package instance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// A dial of go-redis's that comes when its attempt is over finds nothing, and the
// attempts that follow are none the worse for it.
func TestADialThatComesTooLateDoesNoHarm(t *testing.T) {
	server := redistest.Start(t)
	i, err := Dial(server.URL(), Config{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	for range 3 {
		if err := i.client.Ping(t.Context()).Err(); !errors.Is(err, reach.ErrNotDialed) {
			t.Fatalf("nothing had been dialed: %v", err)
		}
	}
	if err := i.Claim(); err != nil {
		t.Fatalf("i.Claim: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.Run(context.Background(), NewSet([]*Instance{i}, GuardOff, 0))
	}()
	<-i.Ready()
	if h := i.Health(); h.State != Up {
		t.Errorf("the first attempt to connect: %v: %v", h.State, h.Err)
	}
	i.Close()
	<-ended
}
