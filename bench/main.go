// Bench measures Holdfast side by side with its peers, on redis-server processes that it starts and ends itself.
//
//	go run .                  everything, in less than ten minutes
//	go run . -quick           fewer cells and shorter windows, in less than one
//	go run . -markdown        tables for a README
//	go run . -json out.json   everything that was measured, round by round
//
// What makes the numbers comparable, and what they do not say:
//
//   - Every run has redis-servers of its own, freshly started, and one peer in the process. The peers take turns, a
//     short run each, for several rounds, and the order changes from round to round: whatever else the machine does
//     meanwhile hits all of them. A cell shows the median of its rounds; a ratio is the median of the rounds' ratios.
//   - Clients and servers share the CPUs, the network is loopback. So compare the rows of one table, never the numbers
//     of two machines.
//   - A load is a closed loop: each caller acquires and releases one resource, again and again. Failed attempts are
//     no cycles; they are counted, and shown.
//   - "wire floor" is no lock. It sends what a quorum lock must send, encoded beforehand, and only counts the replies.
//
// One file a scenario (scenario_*.go), one file a peer (peer_*.go).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	// The first signal ends the run in order, the second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the program: it measures what args ask for and prints it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.cpuProfile != "" {
		finish, err := profile(o.cpuProfile)
		if err != nil {
			return err
		}
		defer finish()
	}

	redis.SetLogger(silent{})
	env := environment(args)
	env.print(stdout)
	b := &bench{plan: o.plan, peers: o.peers, progress: stderr, began: time.Now()}
	var reports []*report
	for _, s := range scenarios {
		if !o.scenarios.MatchString(s.name) {
			continue
		}
		r, failed := s.run(ctx, b)
		if r != nil && len(r.Records) > 0 { // none when -peers chose none of those who take part
			r.Name, r.Title = s.name, s.title
			r.print(stdout, o.markdown)
			reports = append(reports, r)
		}
		if failed != nil {
			err = fmt.Errorf("scenario %s: %w", s.name, failed)
			break
		}
	}
	fmt.Fprintf(stderr, "took %v\n", time.Since(b.began).Round(time.Second))
	if o.json == "" {
		return err
	}
	if failed := writeJSON(o.json, env, reports); failed != nil {
		return failed
	}
	return err
}

// options are the command line.
type options struct {
	plan       plan
	scenarios  *regexp.Regexp
	peers      *regexp.Regexp
	markdown   bool
	json       string
	cpuProfile string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "fewer cells and shorter windows: less than a minute")
	rounds := flags.Int("rounds", 0, "how often every cell is measured (default 3)")
	window := flags.Duration("window", 0, "how long each run of the scenario distinct is measured (default 2s; with -quick 200ms)")
	instances := flags.String("instances", "", "only these numbers of instances, such as 3,5, in the scenarios distinct and latency")
	callers := flags.String("callers", "", "only these numbers of callers, such as 1,512, in the scenario distinct")
	scenarios := flags.String("run", "", "only scenarios that this regexp matches: "+strings.Join(names(), ", "))
	peers := flags.String("peers", "", "only peers that this regexp matches, such as ^holdfast")
	unix := flags.Bool("unix", false, "reach the servers by unix sockets instead of loopback TCP")
	flags.BoolVar(&o.markdown, "markdown", false, "print Markdown tables")
	flags.StringVar(&o.json, "json", "", "also write everything measured to this file")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of the whole run to this file; choose one cell with the other flags")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	o.plan = full
	if *quick {
		o.plan = quickly
	}
	o.plan.unix = *unix
	if *rounds > 0 {
		o.plan.rounds = *rounds
	}
	if *window > 0 {
		o.plan.window = *window
	}
	var err error
	if o.plan.instances, err = chosen(*instances, o.plan.instances); err != nil {
		return nil, fmt.Errorf("-instances: %w", err)
	}
	if o.plan.callers, err = chosen(*callers, o.plan.callers); err != nil {
		return nil, fmt.Errorf("-callers: %w", err)
	}
	if o.scenarios, err = regexp.Compile(*scenarios); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	if o.peers, err = regexp.Compile(*peers); err != nil {
		return nil, fmt.Errorf("-peers: %w", err)
	}
	return o, nil
}

// chosen reads a comma-separated list of positive numbers; an empty one leaves the default.
func chosen(list string, byDefault []int) ([]int, error) {
	if list == "" {
		return byDefault, nil
	}
	var numbers []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive number", field)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
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
