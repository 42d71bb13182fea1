package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/holdfast-go/holdfast/engine"
)

// One of many processes leads, and the others know where it is.
func ExampleEngine_Campaign() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	address := "10.0.0.7:8080"                                                                    // what the others are to know: engine.MaxValue bytes at most
	leader, err := locks.Campaign(ctx, "scheduler", address[:min(len(address), engine.MaxValue)]) // waits while another leads
	if err != nil {
		log.Fatal(err)
	}
	work, cancel := leader.Context(ctx) // ends when the leadership does
	defer cancel()
	fmt.Println(work.Err(), leader.Term() > 0) // what is written carries the term: a fencing token
	fmt.Println(locks.Leases()[0] == leader.Lease)

	if err := leader.Proclaim(ctx, "10.0.0.7:9090"); err != nil { // it has moved
		log.Fatal(err)
	}
	fmt.Println(leader.Release(ctx)) // it resigns: the next one need not wait
	// Output:
	// <nil> true
	// true
	// <nil>
}

// Who leads, and each change of that.
func ExampleEngine_Observe() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{Owner: "host-a"})
	defer stop()

	leader, err := locks.Campaign(ctx, "scheduler", "10.0.0.7:8080")
	if err != nil {
		log.Fatal(err)
	}
	var last engine.Leadership
	for now, err := range locks.Observe(ctx, "scheduler") {
		if err != nil {
			log.Print(err) // it is not known; or, at last, that ctx has ended
			continue
		}
		if !now.Held {
			fmt.Printf("%v; before, %s did\n", now, last.Owner)
			break
		}
		last = now
		fmt.Println(now.Value, now.Owner, now.Term == leader.Term())
		if err := leader.Release(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 10.0.0.7:8080 host-a true
	// nobody leads; before, host-a did
}
