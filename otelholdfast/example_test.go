package otelholdfast_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/otelholdfast"
)

func Example() {
	server := miniredis.NewMiniRedis() // in place of real ones
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()

	spans := tracetest.NewSpanRecorder()
	telemetry, err := otelholdfast.New(otelholdfast.Options{ // by default otel's global providers
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	if err != nil {
		log.Fatal(err)
	}
	locks, err := engine.Open(ctx, []string{"redis://" + server.Addr()}, engine.Config{Trace: telemetry.Trace()})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close(ctx)
	if err := telemetry.Attach(locks); err != nil {
		log.Fatal(err)
	}
	defer telemetry.Close()

	if _, err := locks.Acquire(ctx, "nightly-report"); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.Ended() {
		fmt.Println(span.Name(), span.Status().Code)
	}
	// Output: acquire Unset
}
