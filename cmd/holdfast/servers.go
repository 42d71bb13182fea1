package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
)

// environment is the variable that names the servers when no --redis does.
const environment = "HOLDFAST_REDIS"

// servers are the flags that all commands share which talk to Redis.
type servers struct {
	redis   list
	prefix  string
	timeout span
	maxTTL  span
	guard   guardFlag
	addrs   addrMap
	verbose bool
}

func (s *servers) flags(fs *flag.FlagSet) {
	s.timeout, s.maxTTL = span(500*time.Millisecond), span(time.Minute)
	fs.Var(&s.redis, "redis", "a server's `URL`; repeat it for each. Default: HOLDFAST_REDIS")
	fs.StringVar(&s.prefix, "prefix", "", "the `PREFIX` of all keys; the same for all who share locks")
	fs.Var(&s.timeout, "timeout", "a server that does not answer for `TIME` is down")
	fs.Var(&s.maxTTL, "max-ttl", "nobody in the fleet has a TTL above `TIME`; the same for all who share locks")
	fs.Var(&s.guard, "guard", "how to treat servers that restarted: `GUARD` is adaptive, strict or off")
	fs.Var(&s.addrs, "map", "connect elsewhere for an address that sentinels or clusters announce: `ANNOUNCED=REACHABLE`; repeat it")
	fs.BoolVar(&s.verbose, "v", false, "log what goes on to standard error")
}

// shared are the names of the flags above, for help.
var shared = []string{"redis", "prefix", "timeout", "max-ttl", "guard", "map", "v"}

// urls are the servers', from the flags or else from the environment.
func (s *servers) urls() ([]string, error) {
	urls := []string(s.redis)
	if len(urls) == 0 {
		urls = instance.SplitURLs(os.Getenv(environment))
	}
	if len(urls) == 0 {
		return nil, usage("no servers: name them with --redis URL, once for each, or in %s; see `holdfast help servers`", environment)
	}
	return urls, nil
}

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
		Guard:           instance.Guard(s.guard),
		InstanceTimeout: time.Duration(s.timeout),
		Logger:          s.logger(),
	}
}

// dial makes the instances. It does not connect.
func (s *servers) dial(log *slog.Logger) ([]*instance.Instance, error) {
	urls, err := s.urls()
	if err != nil {
		return nil, err
	}
	var instances []*instance.Instance
	for n, url := range urls {
		i, err := instance.Dial(url, instance.Config{Timeout: time.Duration(s.timeout), Logger: log, AddrMap: s.addrs})
		if err != nil {
			return nil, usage("server %d of %d: %w", n+1, len(urls), err)
		}
		instances = append(instances, i)
	}
	return instances, nil
}

// open returns an engine with a quorum, for whose coming it waits for a while.
func (s *servers) open(ctx context.Context, cfg engine.Config) (*engine.Engine, error) {
	instances, err := s.dial(cfg.Logger)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(instances, cfg)
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
			return nil, errors.Join(usage("server %s: %w", h.Name, h.Err), shut(e))
		}
	}
	return e, nil
}

// shut closes an engine, whatever has become of the context it worked under. The
// instances' timeouts bound it.
func shut(e *engine.Engine) error { return e.Close(context.Background()) }
