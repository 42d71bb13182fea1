package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/holdfast-go/holdfast/engine"
)

// No more than two reports are made at once, on whatever machines, and each has a scratch database of its own.
func ExamplePermits() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	var slots int
	for range 2 {
		held, err := locks.Acquire(ctx, "reports", engine.Permits(2)) // waits while two hold it
		if err != nil {
			log.Fatal(err)
		}
		defer held.Release(ctx)
		slots += 1 << held.Slots()[0] // 0 and 1, in some order: it says which database
	}
	_, err := locks.TryAcquire(ctx, "reports", engine.Permits(2))
	fmt.Println(slots == 0b11, errors.Is(err, engine.ErrHeld))

	s, err := locks.Inspect(ctx, locks.PermitName("reports", 1))
	fmt.Println(s.Held, err)
	// Output:
	// true true
	// true <nil>
}
