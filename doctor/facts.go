package doctor

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

// facts are what one server has answered: an instance, or a master of one that is
// a cluster.
type facts struct {
	name    string
	place   int  // of the instance that it is, or belongs to
	cluster bool // it is one of a cluster's masters
	timeout time.Duration
	risks   []string
	err     error             // why it could not be asked to the end
	info    map[string]string // empty where INFO is not permitted
	config  map[string]string // empty where CONFIG is not permitted
	denied  []string          // commands that are not permitted, of those that an engine uses
	refused string            // why it takes no writes, in its own words
	clock   clock
}

func (f facts) reached() bool { return f.err == nil }

func (f facts) patient() Patient {
	return Patient{
		Name: f.name, Reached: f.reached(), Version: f.info["redis_version"], Role: f.info["role"],
		Uptime: max(0, f.uptime()), Latency: f.clock.latency(),
	}
}

// number is a number of INFO's; -1 when it is not there.
func (f facts) number(field string) int64 {
	n, err := strconv.ParseInt(f.info[field], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (f facts) uptime() time.Duration {
	return time.Duration(min(f.number("uptime_in_seconds"), math.MaxInt64/int64(time.Second))) * time.Second
}

// examination is the asking of one instance.
type examination struct {
	facts
	client *redis.Client
}

// examineAll examines an instance, or each master of a cluster.
func examineAll(ctx context.Context, place int, i *instance.Instance, cfg Config) []facts {
	servers, err := i.Servers(ctx)
	if err != nil {
		return []facts{{name: i.Name(), place: place, timeout: i.Timeout(), risks: i.Risks(), err: err}}
	}
	all := make([]facts, len(servers))
	var examinations errgroup.Group
	for n, server := range servers {
		examinations.Go(func() error {
			all[n] = examine(ctx, server, cfg)
			all[n].place, all[n].cluster, all[n].risks = place, server != i, i.Risks()
			return nil
		})
	}
	_ = examinations.Wait() // none returns an error
	return all
}

// examine asks everything.
func examine(ctx context.Context, i *instance.Instance, cfg Config) facts {
	e := examination{facts: facts{name: i.Name(), timeout: i.Timeout()}}
	e.err = i.Ask(ctx, func(client *redis.Client) error {
		e.client = client
		for _, step := range []func(context.Context, Config) error{e.askInfo, e.askConfig, e.askClock, e.tryCommands, e.askClockAgain} {
			switch err := step(ctx, cfg); {
			case errors.Is(err, errReadOnly):
				return nil
			case err != nil:
				return err
			}
		}
		return nil
	})
	return e.facts
}

// errReadOnly: go-redis has closed the connection on which it read this.
var errReadOnly = errors.New("read-only")

// do puts one question. A refusal for want of a permission is not an error but
// allowed false; every other one is.
func (e *examination) do(ctx context.Context, args ...any) (reply any, allowed bool, err error) {
	reply, err = e.client.Do(ctx, args...).Result()
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return reply, true, nil
	case strings.HasPrefix(err.Error(), "NOPERM"):
		return nil, false, nil
	}
	return nil, false, err
}

func (e *examination) askInfo(ctx context.Context, _ Config) error {
	e.info = make(map[string]string)
	reply, allowed, err := e.do(ctx, "info")
	if err != nil {
		return err
	}
	if !allowed {
		e.denied = append(e.denied, "info")
	}
	text, _ := reply.(string)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			e.info[key] = strings.TrimSpace(value)
		}
	}
	return nil
}

// askConfig asks for what INFO does not say. An engine needs no CONFIG, so it may
// well be refused, or not exist.
func (e *examination) askConfig(ctx context.Context, _ Config) error {
	e.config = make(map[string]string)
	for _, name := range []string{"save", "appendfsync"} {
		reply, allowed, err := e.do(ctx, "config", "get", name)
		if err != nil && !isRefusal(err) {
			return err
		}
		if pair, ok := reply.([]any); ok && allowed && len(pair) == 2 {
			e.config[name], _ = pair[1].(string)
		}
	}
	return nil
}

// isRefusal reports whether the server itself said no.
func isRefusal(err error) bool {
	var server redis.Error
	return errors.As(err, &server)
}

// tryCommands tries every command that an engine uses, on a key that nobody else
// has. It is there for a second at most.
func (e *examination) tryCommands(ctx context.Context, cfg Config) error {
	if e.info["role"] == "slave" { // it would refuse to write, and that is known
		return nil
	}
	key := cfg.KeyPrefix + "holdfast-doctor:" + rand.Text()
	var id any = int64(math.MaxInt64) // nobody's
	switch reply, allowed, err := e.do(ctx, "client", "id"); {
	case err == nil && allowed:
		id = reply
	case err == nil:
		e.denied = append(e.denied, "client|id")
	case !isRefusal(err):
		return err
	}
	sha := strings.Repeat("0", 40) // no script's
	switch reply, allowed, err := e.do(ctx, "script", "load", "return 1"); {
	case err == nil && allowed:
		sha, _ = reply.(string)
	case err == nil:
		e.denied = append(e.denied, "script|load")
	case !isRefusal(err):
		return err
	}
	for _, try := range []struct {
		command string
		args    []any
	}{
		{"evalsha", []any{"evalsha", sha, 1, key}},
		{"get", []any{"get", key}},
		{"get of the fence", []any{"get", cfg.KeyPrefix + "fence:{" + key + "}"}},
		{"set", []any{"set", key, "doctor", "px", 1000, "nx"}},
		{"pttl", []any{"pttl", key}},
		{"pexpire", []any{"pexpire", key, 1000}},
		{"del", []any{"del", key}},
		{"time", []any{"time"}},
		{"client|kill", []any{"client", "kill", "id", id, "skipme", "yes"}}, // ours or nobody's, and we are skipped
		{"client|tracking", []any{"client", "tracking", "off"}},
	} {
		_, allowed, err := e.do(ctx, try.args...)
		switch {
		case err == nil && !allowed:
			e.denied = append(e.denied, try.command)
		case err != nil && !isRefusal(err):
			return err
		case err != nil && strings.HasPrefix(err.Error(), "MOVED"): // another node's key, but permitted
		case err != nil && try.command == "set":
			e.refused = err.Error()
			if strings.HasPrefix(e.refused, "READONLY") {
				return errReadOnly
			}
		}
	}
	return nil
}
