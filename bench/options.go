package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// options are the command line.
type options struct {
	plan       plan
	scenarios  *regexp.Regexp
	peers      *regexp.Regexp
	markdown   bool
	server     string
	from       string
	json       string
	chart      string
	cpuProfile string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "fewer cells and shorter windows: less than a minute")
	rounds := flags.Int("rounds", 0, "how often every cell is measured, but for held (default 3; with -quick 1)")
	window := flags.Duration("window", 0, "how long each run of the scenario distinct is measured (default 500ms; with -quick 200ms)")
	instances := flags.String("instances", "", "only these numbers of instances, such as 3,5, in the scenarios distinct and latency")
	callers := flags.String("callers", "", "only these numbers of callers, such as 1,512, in the scenario distinct")
	held := flags.Duration("held", 0, "how long the scenario held holds 100,000 leases (default 35s; with -quick fewer leases)")
	most := flags.Duration("million", 0, "how long it holds 1,000,000 (default 35s; with -quick not at all)")
	scenarios := flags.String("run", "", "only scenarios that this regexp matches: "+strings.Join(names(), ", "))
	peers := flags.String("peers", "", "only peers that this regexp matches, such as ^holdfast")
	unix := flags.Bool("unix", false, "reach the servers by unix sockets instead of loopback TCP")
	flags.StringVar(&o.server, "server", "", "run this Redis or Valkey, rather than the redis-server in PATH")
	flags.BoolVar(&o.markdown, "markdown", false, "print Markdown tables")
	flags.StringVar(&o.from, "from", "", "measure nothing: print what -json wrote to this file")
	flags.StringVar(&o.json, "json", "", "also write everything measured to this file")
	flags.StringVar(&o.chart, "chart", "", "also draw the scenario distinct into this SVG file")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of the whole run to this file; choose one cell with the other flags")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.from != "" && (o.json != "" || o.cpuProfile != "") {
		return nil, errors.New("-from measures nothing, so there is nothing for -json or -cpuprofile")
	}

	o.plan = full
	if *quick {
		o.plan = quickly
	}
	o.plan.unix = *unix
	override(&o.plan.rounds, *rounds)
	override(&o.plan.window, *window)
	if *held > 0 {
		o.plan.held = full.held
		o.plan.held.hold = *held
	}
	if *most > 0 {
		o.plan.most = full.most
		o.plan.most.hold = *most
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

// override sets what was given.
func override[T ~int | ~int64](field *T, given T) {
	if given > 0 {
		*field = given
	}
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
