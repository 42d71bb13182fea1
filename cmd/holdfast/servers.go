package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// firstDeployment is the variable that stands for --first-deployment.
const firstDeployment = "HOLDFAST_FIRST_DEPLOYMENT"

// servers are the flags that all commands share which talk to Redis.
type servers struct {
	redis   list
	file    list // of URLs; one at most
	prefix  string
	timeout span
	maxTTL  span
	guard   guardFlag
	first   bool // these servers have never been locked on
	addrs   addrMap
	verbose bool

	found []address // what locate has found
}

func (s *servers) flags(fs *flag.FlagSet) {
	s.timeout, s.maxTTL, s.guard = span(500*time.Millisecond), span(time.Minute), guardFlag(instance.GuardStrict)
	fs.Var(&s.redis, "redis", "an instance's `URL`; repeat it for each. Default: HOLDFAST_REDIS")
	fs.Var(&s.file, "redis-file", "a `FILE` with all instances, one URL a line. Default: HOLDFAST_REDIS_FILE")
	fs.StringVar(&s.prefix, "prefix", "", "the `PREFIX` of all keys; the same for all programs that share locks")
	fs.Var(&s.timeout, "timeout", "an instance that does not answer for `TIME` is down")
	fs.Var(&s.maxTTL, "max-ttl", "no lock in the fleet has a TTL above `TIME`; the same for all programs that share locks")
	fs.Var(&s.guard, "guard", "how to treat instances that restarted: `GUARD` is adaptive, strict or off")
	fs.BoolVar(&s.first, "first-deployment", os.Getenv(firstDeployment) != "", "nobody has ever locked on these instances: if all of them are new, do not wait. Default: "+firstDeployment)
	fs.Var(&s.addrs, "map", "connect to another address than the one that sentinels or clusters announce: `ANNOUNCED=REACHABLE`; repeat it")
	fs.BoolVar(&s.verbose, "v", false, "write a log to standard error")
}

// shared are the names of the flags above, for help.
var shared = []string{"redis", "redis-file", "prefix", "timeout", "max-ttl", "guard", "first-deployment", "map", "v"}

func (s *servers) logger() *slog.Logger {
	if !s.verbose {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// config is the engine's, as far as these flags decide it.
func (s *servers) config() engine.Config {
	return engine.Config{
		KeyPrefix:       s.prefix,
		MaxTTL:          time.Duration(s.maxTTL),
		TTL:             min(10*time.Second, time.Duration(s.maxTTL)),
		Guard:           s.guarding(),
		InstanceTimeout: time.Duration(s.timeout),
		Logger:          s.logger(),
	}
}

// guarding is what is made of instances that were started a short while ago. Each
// call of this command is an engine that sees them for the first time, so
// GuardAdaptive could not tell a restart of them all from a first deployment. A user
// that can says so.
func (s *servers) guarding() instance.Guard {
	if g := instance.Guard(s.guard); g != instance.GuardStrict || !s.first {
		return g
	}
	return instance.GuardAdaptive
}

// noteQuarantine says until when the restart guard grants no lock, and why.
// first says that this is a first deployment: then not all have been seen to be new.
func noteQuarantine(w io.Writer, command string, servers []instance.Health, now time.Time, first bool) {
	need, up := len(servers)/2+1, 0
	var waits []time.Duration // of those that may not vote yet
	for _, h := range servers {
		switch h.State {
		case instance.Up:
			up++
		case instance.Quarantined:
			waits = append(waits, h.Quarantine)
		}
	}
	if up >= need || up+len(waits) < need { // enough may vote; or this is not what is missing
		return
	}
	slices.Sort(waits)
	left := waits[need-up-1]
	hint := "--first-deployment does not wait"
	if first {
		hint = fmt.Sprintf("--first-deployment does not wait when all %d answer and are new", len(servers))
	}
	fmt.Fprintf(w, "holdfast %s: %d of %d instances are quarantined: they were started a short while ago, and may have forgotten who holds which lock. None is granted before %s, in %v (%s)\n",
		command, len(waits), len(servers), now.Add(left).Format(time.TimeOnly), left.Round(time.Second), hint)
}

// dial makes the instances. It does not connect.
func (s *servers) dial(log *slog.Logger) ([]*instance.Instance, error) {
	found, err := s.locate()
	if err != nil {
		return nil, err
	}
	var instances []*instance.Instance
	for _, a := range found {
		i, err := instance.Dial(a.url, instance.Config{Timeout: time.Duration(s.timeout), Logger: log, AddrMap: s.addrs})
		if err != nil {
			return nil, usage("%s: %w", a.where, err)
		}
		instances = append(instances, i)
	}
	return instances, nil
}

// make returns an engine that has not asked anybody yet.
func (s *servers) make(cfg engine.Config) (*engine.Engine, error) {
	instances, err := s.dial(cfg.Logger)
	if err != nil {
		return nil, err
	}
	return engine.New(instances, cfg)
}

// open returns an engine with a quorum, for whose coming it waits for a while.
func (s *servers) open(ctx context.Context, cfg engine.Config) (*engine.Engine, error) {
	e, err := s.make(cfg)
	if err != nil {
		return nil, err
	}
	if err := e.AwaitQuorum(ctx); err != nil {
		return nil, errors.Join(err, shut(e))
	}
	return e, nil
}

// look returns an engine, however few of its servers are up: each has been tried.
func (s *servers) look(ctx context.Context, cfg engine.Config) (*engine.Engine, error) {
	instances, err := s.dial(cfg.Logger)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(instances, cfg)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for _, i := range instances {
		select {
		case <-i.Ready():
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), shut(e))
		}
	}
	for _, h := range e.Instances() {
		if instance.IsSameServer(h.Err) {
			return nil, errors.Join(usage("instance %s: %w", h.Name, h.Err), shut(e))
		}
	}
	return e, nil
}

// shut closes an engine, whatever has become of the context it worked under. The
// instances' timeouts bound it.
func shut(e *engine.Engine) error { return e.Close(context.Background()) }
