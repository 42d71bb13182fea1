package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/holdfast-go/holdfast/engine"
)

// Many read the configuration at once, and nobody while it is written.
func ExampleShared() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	reader, err := locks.Acquire(ctx, "config", engine.Shared()) // waits while somebody has it alone
	if err != nil {
		log.Fatal(err)
	}
	another, err := locks.Acquire(ctx, "config", engine.Shared())
	if err != nil {
		log.Fatal(err)
	}
	_, err = locks.TryAcquire(ctx, "config") // a writer
	s, _ := locks.Inspect(ctx, "config")
	fmt.Println(another.Shared(), errors.Is(err, engine.ErrHeld), s.Readers)

	reader.Release(ctx)
	another.Release(ctx)
	err = locks.Do(ctx, "config", func(context.Context) error { return nil })
	fmt.Println(err)
	// Output:
	// true true 2
	// <nil>
}
