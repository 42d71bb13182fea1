package promholdfast_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/promholdfast"
)

func Example() {
	server := miniredis.NewMiniRedis() // in place of real ones
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()

	metrics := promholdfast.New(promholdfast.Options{})
	locks, err := engine.Open(ctx, []string{"redis://" + server.Addr()}, engine.Config{Trace: metrics.Trace()})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close(ctx)
	metrics.Attach(locks)
	registry := prometheus.NewRegistry() // or prometheus.MustRegister(metrics)
	registry.MustRegister(metrics)

	if _, err := locks.Acquire(ctx, "nightly-report"); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "holdfast_leases_held" {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: holdfast_leases_held 1
}
