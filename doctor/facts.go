package doctor

import (
	"bufio"
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

// facts are what one server has answered: an instance, or a master of one that is
// a cluster. What it has not told is not here, and is never taken for well.
type facts struct {
	name    string
	place   int  // of the instance that it is, or belongs to
	cluster bool // it is one of a cluster's masters
	timeout time.Duration
	risks   []string
	err     error             // why it could not be asked to the end
	info    map[string]string // empty where INFO is refused
	config  map[string]string // empty where CONFIG is refused
	refused map[string]error  // commands that an engine uses and the server refuses for good, and its words
	refusal error             // why it takes no writes for now, in its words; nil: it does
	stalled string            // the command that it did not answer in time, while it answered others
	clock   clock
	spoilt  error // what the key of the table of fences is refused with, where it holds something else; nil: it does not

	fencesEnd time.Duration // when that table will be gone; 0: it has no end
	masters   []string      // the run_ids of the masters that its address leads to; empty where INFO is refused

	moving      []string // slots that are on their way from or to this node of a cluster
	movingKnown bool     // it has told which, or that there are none
}

func (f facts) reached() bool { return f.err == nil }

func (f facts) patient() Patient {
	return Patient{
		Name: f.name, Reached: f.reached(), Product: f.product(), Version: f.version(), Role: f.info["role"],
		Uptime: max(0, f.uptime()), Latency: f.clock.latency(),
	}
}

// product is what the server calls itself, in small letters. Redis has no field for
// its name.
func (f facts) product() string {
	switch name := f.info["server_name"]; {
	case name != "":
		return strings.ToLower(name)
	case f.info["redis_version"] != "":
		return "redis"
	}
	return ""
}

// version is the product's own. What others call redis_version is the Redis that
// they do as.
func (f facts) version() string {
	return or(f.info[f.product()+"_version"], f.info["redis_version"])
}

// mode is "standalone", "cluster" or "sentinel"; "" when it has not told. Valkey has
// another field for it than Redis.
func (f facts) mode() string {
	return or(f.info["redis_mode"], f.info["server_mode"])
}

// votes reports whether it can vote at all, be it only on some locks.
func (f facts) votes() bool {
	return f.reached() && f.mode() != "sentinel" && (f.mode() != "cluster" || f.cluster) && f.info["role"] != "slave" &&
		len(f.masters) < 2 && f.pause() == "" && f.refusal == nil && f.stalled == "" && len(costly(f.commands(isAny))) == 0
}

// pause is why writes are paused, in the server's word; "": they are not, or it does
// not tell, as Redis does not.
func (f facts) pause() string {
	if why := f.info["paused_reason"]; why != "none" && f.info["paused_actions"] != "none" {
		return why
	}
	return ""
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
	e := examination{facts: facts{name: i.Name(), timeout: i.Timeout(), refused: make(map[string]error)}}
	e.err = i.Ask(ctx, func(client *redis.Client) error {
		e.client = client
		// What may cost the connection comes last.
		for _, step := range []func(context.Context, Config) error{e.askInfo, e.askConfig, e.askSlots, e.askClock, e.askClockAgain, e.tryCommands} {
			switch err := step(ctx, cfg); {
			case errors.Is(err, errEnough):
				return nil
			case err != nil:
				return err
			}
		}
		return nil
	})
	if e.reached() && e.mode() != "sentinel" {
		e.err = e.callAgain(ctx, i)
	}
	return e.facts
}

// calls is how many connections are opened in a row to see whether they lead to the
// same server. One of two, by turns or at random, is missed once in a hundred times.
const calls = 8

// callAgain opens more connections, and asks on each of them who is there.
func (e *examination) callAgain(ctx context.Context, i *instance.Instance) error {
	e.note(e.info)
	for n := 1; n < calls && e.info["run_id"] != ""; n++ {
		err := i.Ask(ctx, func(client *redis.Client) error {
			again := examination{client: client, facts: facts{refused: make(map[string]error)}}
			err := again.askInfo(ctx, Config{})
			e.note(again.info)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// note takes down who has answered, if it is a master: others have no vote.
func (e *examination) note(info map[string]string) {
	if run := info["run_id"]; run != "" && info["role"] == "master" && !slices.Contains(e.masters, run) {
		e.masters = append(e.masters, run)
	}
}

// errEnough: there is nothing more to be learnt, or no connection to learn it on.
var errEnough = errors.New("enough")

// do puts one question. That the server refuses it for good is no error: what it
// says is refusal then. Every other error is one.
func (e *examination) do(ctx context.Context, args ...any) (reply any, refusal, err error) {
	reply, err = e.client.Do(ctx, args...).Result()
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return reply, nil, nil
	case strings.HasPrefix(err.Error(), "NOAUTH"): // of every command: it is not the command that is missing
		return nil, nil, err
	case isRefusal(err) && (instance.IsRefusal(err) || strings.HasPrefix(err.Error(), "ERR ")):
		return nil, err, nil
	}
	return nil, nil, err
}

// isRefusal reports whether the server itself said no.
func isRefusal(err error) bool {
	var server redis.Error
	return errors.As(err, &server)
}

// isTimeout reports whether there was no answer in time.
func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// askInfo asks who is there. A Sentinel has nothing else to tell.
func (e *examination) askInfo(ctx context.Context, _ Config) error {
	e.info = make(map[string]string)
	reply, refusal, err := e.do(ctx, "info")
	if err != nil {
		return err
	}
	if refusal != nil {
		e.refused["info"] = refusal
	}
	text, _ := reply.(string)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			e.info[key] = strings.TrimSpace(value)
		}
	}
	if e.mode() == "sentinel" {
		return errEnough
	}
	return nil
}

// askConfig asks for what INFO does not say. An engine needs no CONFIG, so it may
// well be refused, or not exist.
func (e *examination) askConfig(ctx context.Context, _ Config) error {
	e.config = make(map[string]string)
	for _, name := range []string{"save", "appendfsync"} {
		reply, _, err := e.do(ctx, "config", "get", name)
		if err != nil && !isRefusal(err) {
			return err
		}
		if pair, ok := reply.([]any); ok && len(pair) == 2 {
			e.config[name], _ = pair[1].(string)
		}
	}
	return nil
}

// askSlots asks a node of a cluster which of its slots are on their way.
func (e *examination) askSlots(ctx context.Context, _ Config) error {
	if e.info["cluster_enabled"] != "1" {
		return nil
	}
	nodes, refusal, err := e.do(ctx, "cluster", "nodes")
	if err != nil && !isRefusal(err) {
		return err
	}
	text, _ := nodes.(string)
	e.moving = movingSlots(text)
	e.movingKnown = refusal == nil && text != ""
	for _, ask := range [][]any{
		{"cluster", "getslotmigrations"},          // Valkey 9: whole ranges at once
		{"cluster", "migration", "status", "all"}, // Redis 8.4
	} {
		migrations, noneSuch, err := e.do(ctx, ask...)
		if err != nil && !isRefusal(err) {
			return err
		}
		e.moving = append(e.moving, underWay(migrations)...)
		e.movingKnown = e.movingKnown && (noneSuch == nil || !isDenied(noneSuch))
	}
	return nil
}

// movingSlots reads CLUSTER NODES, where a node says of itself alone which slots it
// is giving away or taking: [5->-node], [5-<-node].
func movingSlots(nodes string) (slots []string) {
	for line := range strings.Lines(nodes) {
		for _, field := range strings.Fields(line) {
			if inner, ok := strings.CutPrefix(field, "["); ok {
				slot, _, _ := strings.Cut(inner, "-")
				slots = append(slots, slot)
			}
		}
	}
	return slots
}

// underWay reads CLUSTER GETSLOTMIGRATIONS, or CLUSTER MIGRATION STATUS: a list of lists of names and values.
func underWay(migrations any) (ranges []string) {
	list, _ := migrations.([]any)
	for _, one := range list {
		fields := make(map[string]string)
		pairs, _ := one.([]any)
		for n := 0; n+1 < len(pairs); n += 2 {
			name, _ := pairs[n].(string)
			fields[name], _ = pairs[n+1].(string)
		}
		switch fields["state"] {
		case "success", "completed", "failed", "cancelled", "canceled", "":
		default:
			ranges = append(ranges, fields["slot_ranges"]+fields["slots"]) // it has one of them
		}
	}
	return ranges
}
