// Bench measures Holdfast side by side with its peers, on servers that it starts and ends itself.
//
//	go run .                      everything, in less than ten minutes
//	go run . -quick               fewer cells and shorter windows, in less than one
//	go run . -markdown            tables for a README
//	go run . -json out.json       everything that was measured, round by round
//	go run . -chart out.svg       a chart of the scenario distinct
//	go run . -from out.json …     the tables and the chart again, of what was measured then
//	go run . -run held -held 5m -million 2m
//
// What makes the numbers comparable, and what they do not say:
//
//   - Every run has servers of its own, freshly started, and one peer in the process. The peers take turns, a short run
//     each, for several rounds, and the order changes from round to round: whatever else the machine does meanwhile hits
//     all of them. A cell shows the median of its rounds; a ratio is the median of the rounds' ratios.
//   - Clients and servers share the CPUs, the network is loopback. So compare the rows of one table, never the numbers
//     of two machines.
//   - A load is a closed loop: each caller acquires and releases one resource, again and again. Failed attempts are
//     no cycles; they are counted, and shown.
//   - "wire floor" is no lock. It sends what a quorum lock must send, encoded beforehand, and only counts the replies.
//
// One file a scenario (scenario_*.go), one file a peer (peer_*.go), one a kind of server (program_*.go).
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	if isChild() {
		os.Exit(beChild(os.Stdin, os.Stdout))
	}
	// The first signal ends the run in order, the second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the program: it measures what args ask for and prints it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.from != "" {
		found, err := readJSON(o.from)
		if err != nil {
			return err
		}
		found.Environment.print(stdout)
		for _, r := range found.Scenarios {
			r.print(stdout, o.markdown)
		}
		return conclude(found, o, stdout)
	}
	if o.cpuProfile != "" {
		finish, err := profile(o.cpuProfile)
		if err != nil {
			return err
		}
		defer finish()
	}
	found := &findings{Environment: environment(args, o.server)}
	found.Environment.print(stdout)
	failed := measureAll(ctx, o, found, stdout, stderr)
	if err := conclude(found, o, stdout); err != nil {
		return err
	}
	return failed
}

// measureAll runs the scenarios and prints what each of them finds, until one fails.
func measureAll(ctx context.Context, o *options, found *findings, stdout, stderr io.Writer) error {
	redis.SetLogger(silent{})
	b := &bench{plan: o.plan, peers: o.peers, server: o.server, progress: stderr, began: time.Now()}
	defer b.say("done")
	for _, s := range scenarios {
		if !o.scenarios.MatchString(s.name) {
			continue
		}
		r, err := b.run(ctx, s)
		if len(r.Records) > 0 { // none when -peers chose none that takes part
			r.print(stdout, o.markdown)
			found.Scenarios = append(found.Scenarios, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// conclude prints and writes what is said of all scenarios together.
func conclude(found *findings, o *options, stdout io.Writer) error {
	found.Bars = judge(found.Scenarios)
	printBars(stdout, o.markdown, found.Bars)
	if o.json != "" {
		if err := writeJSON(o.json, found); err != nil {
			return err
		}
	}
	if o.chart != "" {
		return draw(o.chart, found)
	}
	return nil
}

// silent is go-redis's logger: what goes wrong is counted, and it would log every connection to a stopped server.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func profile(path string) (finish func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
