package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// A worker claims what it can get of a batch of orders, and leaves the rest to others.
func ExampleEngine_TryAcquireEach() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	if _, err := locks.TryAcquire(ctx, "orders/2"); err != nil { // somebody has one of them
		log.Fatal(err)
	}
	orders := []string{"orders/1", "orders/2", "orders/3"} // of more than engine.MaxEach, a part at a time
	results, err := locks.TryAcquireEach(ctx, orders[:min(len(orders), engine.MaxEach)])
	if err != nil {
		log.Fatal(err) // bad input, the context's end, or a closed engine: no lease is left
	}
	var mine []*lease.Lease
	for _, one := range results {
		switch {
		case one.Err == nil:
			fmt.Println("mine:", one.Resource)
			mine = append(mine, one.Lease)
		case errors.Is(one.Err, engine.ErrHeld):
			fmt.Println("another's:", one.Resource)
		default:
			log.Fatal(one.Err) // no quorum, for this one
		}
	}
	for k, err := range locks.ReleaseEach(ctx, mine) { // nil when there is nothing to say
		if err != nil {
			log.Printf("%s: %v", mine[k].Resource(), err)
		}
	}
	fmt.Println("held:", len(locks.Leases()))
	// Output:
	// mine: orders/1
	// another's: orders/2
	// mine: orders/3
	// held: 1
}
