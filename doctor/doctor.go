package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

// Severity says how much a finding matters.
type Severity uint8

const (
	Note    Severity = iota // good to know
	Warning                 // costs availability, speed or secrecy
	Danger                  // can let two holders have a lock at once
)

func (s Severity) String() string {
	names := [...]string{"note", "warning", "danger"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("severity %d", uint8(s))
}

// MarshalText writes the severity as a word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is not as it should be.
type Finding struct {
	ID       string   `json:"id"` // one of IDs; docs/operations.md has a paragraph about each
	Severity Severity `json:"severity"`
	Instance string   `json:"instance,omitempty"` // its name; "": the set
	What     string   `json:"what"`               // is the case: a sentence or two, without secrets
	Why      string   `json:"why"`                // it matters
	Mend     string   `json:"mend"`               // what to do
}

// Patient is what Check has learnt of one server: an instance, or one master of a
// cluster.
type Patient struct {
	Name    string        // the instance's; of a cluster's master, with its address
	Reached bool          // it has answered
	Product string        // redis, valkey, or what else the server calls itself; "": not known
	Version string        // of the product; "": not known
	Role    string        // master or slave; "": not known
	Uptime  time.Duration // of the server process, in whole seconds; 0: not known
	Latency time.Duration // the median of a few round trips; 0: not known
}

// MarshalJSON writes the uptime as uptime_ms and the latency as latency_ms, both
// as decimal numbers. What is not known is left out.
func (p Patient) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name    string  `json:"name"`
		Reached bool    `json:"reached"`
		Product string  `json:"product,omitempty"`
		Version string  `json:"version,omitempty"`
		Role    string  `json:"role,omitempty"`
		Uptime  float64 `json:"uptime_ms,omitempty"`
		Latency float64 `json:"latency_ms,omitempty"`
	}{p.Name, p.Reached, p.Product, p.Version, p.Role, float64(p.Uptime.Milliseconds()), float64(p.Latency.Microseconds()) / 1000})
}

// Report is the result of a Check.
type Report struct {
	Servers  []Patient `json:"servers"`  // the instances; of a cluster, its masters
	Findings []Finding `json:"findings"` // the worst first

	known, quorum bool
}

// Safe reports whether the instances are known to be safe to lock with: no finding
// is a Danger, and nothing is unknown that decides it. When it is false, Endangered
// and Known say which of the two is the case.
func (r Report) Safe() bool {
	return r.known && !r.Endangered()
}

// Endangered reports whether a finding is a Danger.
func (r Report) Endangered() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Danger })
}

// Known reports whether every server was reached and has told all that decides
// whether it is safe. A server that has not is among the findings.
func (r Report) Known() bool { return r.known }

// Quorum reports whether more than half of the instances can vote: they answer, are
// masters, have and permit every command that a vote takes, and accept writes. A
// cluster can vote when all of its masters can. Without a quorum nobody can lock.
func (r Report) Quorum() bool { return r.quorum }

// Config says how the engines are configured that use the instances. The zero value
// works; it means the engine's own defaults.
type Config struct {
	KeyPrefix string         // engine.Config.KeyPrefix; default none
	MaxTTL    time.Duration  // engine.Config.MaxTTL, from 1ms to a year; default 60s
	Guard     instance.Guard // engine.Config.Guard; default instance.GuardAdaptive
	Drift     float64        // engine.Config.DriftFactor, from 0 to less than 1; default 0.01

	// Sample is for how long clocks are watched, to see whether they run at our
	// rate: from 0 to a year, default 1s. The error is the length of a round trip
	// divided by Sample.
	Sample time.Duration
}

// longest bounds the times of a Config. It is the bound of the engine's, too.
const longest = 365 * 24 * time.Hour

// validate reports the first thing that is wrong.
func (c Config) validate() error {
	driftOK := c.Drift >= 0 && c.Drift < 1 // false for what is no number
	switch {
	case c.MaxTTL < time.Millisecond || c.MaxTTL > longest:
		return fmt.Errorf("doctor: MaxTTL is %v: it must be from 1ms to %v", c.MaxTTL, longest)
	case !driftOK:
		return fmt.Errorf("doctor: Drift is %v: it must be from 0 to less than 1", c.Drift)
	case c.Sample < 0 || c.Sample > longest:
		return fmt.Errorf("doctor: Sample is %v: it must be from 0 to %v", c.Sample, longest)
	case c.Guard > instance.GuardOff:
		return fmt.Errorf("doctor: Guard is %d: it must be instance.GuardAdaptive, GuardStrict or GuardOff", uint8(c.Guard))
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.MaxTTL == 0 {
		c.MaxTTL = time.Minute
	}
	if c.Drift == 0 {
		c.Drift = 0.01
	}
	if c.Sample == 0 {
		c.Sample = time.Second
	}
	return c
}

// quarantine is the engine's, for instances with this timeout.
func (c Config) quarantine(timeout time.Duration) time.Duration {
	return c.MaxTTL + timeout + time.Duration(float64(c.MaxTTL)*c.Drift) + 2*time.Millisecond
}

// Check examines the instances, all at the same time, and returns what it found.
// Make them with instance.Dial or instance.New for this alone: no engine may run
// them. It takes Config.Sample and some round trips, each bounded by the instance's
// timeout.
//
// The error is the cause of ctx's end, or says that there are no instances, or which
// field of cfg is out of range. An instance that cannot be reached is no error, but a
// finding. Safe for concurrent use, with different instances.
func Check(ctx context.Context, instances []*instance.Instance, cfg Config) (Report, error) {
	if len(instances) == 0 {
		return Report{}, errors.New("doctor: no instances: name at least one Redis, such as redis://localhost:6379")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return Report{}, err
	}
	each := make([][]facts, len(instances))
	var examinations errgroup.Group
	for place, i := range instances {
		examinations.Go(func() error {
			each[place] = examineAll(ctx, place, i, cfg)
			return nil
		})
	}
	_ = examinations.Wait() // none returns an error
	if ctx.Err() != nil {
		return Report{}, fmt.Errorf("doctor: %w", context.Cause(ctx))
	}
	return judge(slices.Concat(each...), cfg), nil
}

// judge applies the rules.
func judge(all []facts, cfg Config) Report {
	r := Report{known: true}
	missing := make(map[int]bool)
	for _, f := range all {
		r.Servers = append(r.Servers, f.patient())
		missing[f.place] = missing[f.place] || !f.votes()
		r.known = r.known && (f.known() || f.mode() == "sentinel") // which has no vote, and nothing to tell
	}
	n := len(missing)
	maps.DeleteFunc(missing, func(_ int, is bool) bool { return !is })
	r.quorum = n-len(missing) > n/2
	for _, rule := range setRules {
		r.Findings = append(r.Findings, rule(all, cfg)...)
	}
	for _, f := range all {
		for _, rule := range rules {
			r.Findings = append(r.Findings, rule(f, cfg)...)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return r
}
