//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

func newRun() action { return &runAction{name: "run"} }

// runAction is `holdfast run`: a command under a lock.
type runAction struct {
	servers
	name     string // of the command, for what is said while it goes on
	all      bool   // the lock is of several resources
	permits  int    // how many may hold it at once; 0: one
	weight   int    // how many permits the command takes
	shared   bool   // others may hold it as well
	now      bool
	wait     span
	heldCode int
	ttl      span
	grace    span
	maxHold  span
	atLeast  span
	owner    string
	fencing  bool
	watch    bool // the servers tell when the lock is gone
	group    bool // the command has ended when all of its process group have
	pass     bool // the command may know the servers
	audit    audit
}

func (r *runAction) flags(fs *flag.FlagSet) {
	r.servers.flags(fs)
	r.ttl = span(10 * time.Second)
	fs.BoolVar(&r.all, "all", false, "lock several resources, all of them or none: name each in front of --")
	fs.IntVar(&r.permits, "permits", 0, "let as many as `N` hold the lock at once: all must say the same number. Default: one holder")
	fs.IntVar(&r.weight, "weight", 1, "with --permits: take `N` of them")
	fs.BoolVar(&r.shared, "shared", false, "hold the lock beside all others who say --shared, and nobody else")
	fs.BoolVar(&r.now, "n", false, "do not wait: fail at once when somebody else has the lock")
	fs.Var(&r.wait, "w", "wait at most for `TIME`, for the instances and for the lock. Default: for ever, but 5s for the instances")
	fs.IntVar(&r.heldCode, "E", exitHeld, "exit with `CODE` when the lock was not granted")
	fs.Var(&r.ttl, "ttl", "a holder that dies leaves the lock for `TIME`, which is at most --max-ttl")
	fs.Var(&r.grace, "grace", "the command gets TERM `TIME` before the lock may be gone. Default: a third of the TTL, at most 5s")
	fs.Var(&r.maxHold, "max-hold", "end the command when it has had the lock for `TIME`. Default: never")
	fs.Var(&r.atLeast, "at-least", "keep the lock for `TIME` after it was acquired, even if the command ends before; at most --max-ttl")
	fs.BoolVar(&r.group, "wait-group", false, "keep the lock until the command's whole process group has ended")
	fs.BoolVar(&r.pass, "pass-redis", false, "leave HOLDFAST_REDIS and HOLDFAST_REDIS_FILE in the command's environment")
	fs.StringVar(&r.owner, "owner", "", "the `NAME` that others see as the holder. Default: user@host:pid")
	fs.BoolVar(&r.fencing, "fencing", true, "take a fencing token; --fencing=false does without")
	fs.BoolVar(&r.watch, "watch-lock", true, "hear at once that the lock was deleted or taken by force; --watch-lock=false hears of it by renewing")
	r.audit.flags(fs)
}

// run acquires, runs the command, and releases.
func (r *runAction) run(ctx context.Context, args arguments) error {
	resources, argv, err := r.split(args)
	if err != nil {
		return err
	}
	path, err := lookUp(argv[0])
	if err != nil {
		return err
	}
	if err := r.audit.open("run"); err != nil {
		return err
	}
	defer r.audit.close()
	signals := catchSignals()
	defer signals.stop()
	waiting, done := untilSignal(ctx, signals.in)
	defer done()
	reaped := reaping()
	defer reaped()
	bounded, cancel := r.bound(waiting)
	defer cancel()

	locks, err := r.open(bounded, r.config())
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }() // releases what is still held; the rest has been said
	held, err := r.acquire(bounded, locks, resources)
	if err != nil {
		return err
	}
	acquired := time.Now()
	r.audit.granted(held)
	done()
	if waiting.Err() != nil { // granted and called off in the same moment
		return fmt.Errorf("acquire %q: %w", resources[0], context.Cause(waiting))
	}
	reaped()
	code, err := r.supervise(held, signals, path, argv, r.environ(held))
	if err != nil {
		return err
	}
	if rest := time.Duration(r.atLeast) - time.Since(acquired); rest > 0 {
		return r.leave(held, rest, code)
	}
	return r.end(held, code)
}

// split tells the resources from the command, and completes the flags. Without --all there is one.
func (r *runAction) split(args arguments) (resources, argv []string, err error) {
	front, argv := args.front, args.behind
	if len(front) == 0 && len(argv) > 0 { // run -- RESOURCE -- COMMAND: a name that begins with a dash
		front, argv = argv[:1], argv[1:]
		if len(argv) > 0 && argv[0] == "--" {
			argv = argv[1:]
		}
	}
	if r.grace == 0 {
		r.grace = min(span(5*time.Second), r.ttl/3)
	}
	switch {
	case len(front) == 0:
		return nil, nil, usage("name the resource and the command: holdfast run RESOURCE -- COMMAND")
	case len(front) > 1 && !r.all:
		return nil, nil, usage("name one resource, and write -- between it and the command: holdfast run RESOURCE -- COMMAND. With --all they may be several")
	case r.permits < 0 || r.permits > engine.MaxPermits:
		return nil, nil, usage("--permits is %d: it must be from 1 to %d", r.permits, engine.MaxPermits)
	case r.permits > 0 && r.all:
		return nil, nil, usage("--permits is for one resource, and --all for several: choose one")
	case r.shared && (r.all || r.permits > 0):
		return nil, nil, usage("--shared is for one resource, and neither with --all nor with --permits: choose one")
	case r.permits == 0 && r.weight != 1:
		return nil, nil, usage("--weight is a number of permits: say with --permits how many there are")
	case r.weight < 1 || r.weight > engine.MaxWeight || r.weight > max(r.permits, 1):
		return nil, nil, usage("--weight is %d: it must be from 1 to %d", r.weight, min(r.permits, engine.MaxWeight))
	case len(argv) == 0:
		return nil, nil, usage("name the command, behind --: holdfast run RESOURCE -- COMMAND")
	case r.now && r.wait > 0:
		return nil, nil, usage("-n does not wait and -w does: choose one")
	case r.heldCode < 0 || r.heldCode > 255:
		return nil, nil, usage("-E is %d: an exit code must be from 0 to 255", r.heldCode)
	case r.ttl > r.maxTTL:
		return nil, nil, usage("--ttl is %v: it must be at most --max-ttl, which is %v and the same for all that share locks", &r.ttl, &r.maxTTL)
	case r.grace > r.ttl/2:
		return nil, nil, usage("--grace is %v: it must be at most half the TTL, which is %v: renewals need the rest", &r.grace, &r.ttl)
	case r.atLeast > r.maxTTL:
		return nil, nil, usage("--at-least is %v: it must be at most --max-ttl, which is %v: instances that restart are quarantined no longer", &r.atLeast, &r.maxTTL)
	case r.maxHold > 0 && r.maxHold <= r.grace:
		return nil, nil, usage("--max-hold is %v: it must be longer than the grace, which is %v", &r.maxHold, &r.grace)
	}
	return front, argv, nil
}

// lookUp finds the command before anybody waits for a lock. Its exit codes are
// the shell's.
func lookUp(name string) (string, error) {
	path, err := executable(name)
	switch {
	case err == nil || errors.Is(err, exec.ErrDot):
		return path, nil
	case errors.Is(err, fs.ErrPermission):
		return "", fail(exitNotRunable, "%s: it is not executable", name)
	}
	return "", fail(exitNotFound, "%s: there is no such command", name)
}

// withoutPath is where a command is looked for when there is no PATH, by execvp and
// so by flock(1), too: confstr(_CS_PATH).
var withoutPath = []string{"/bin", "/usr/bin"}

// executable is exec.LookPath, which finds nothing where there is no PATH.
func executable(name string) (path string, err error) {
	if _, set := os.LookupEnv("PATH"); set || strings.Contains(name, "/") {
		return exec.LookPath(name)
	}
	for _, dir := range withoutPath {
		if path, err = exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

func (r *runAction) config() engine.Config {
	cfg := r.servers.config()
	cfg.TTL = time.Duration(r.ttl)
	cfg.Trace = r.audit.trace()
	if cfg.Owner = r.owner; cfg.Owner == "" {
		cfg.Owner = self()
	}
	return cfg
}

// bound is the time that -w leaves, from now on.
func (r *runAction) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.wait == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, time.Duration(r.wait), fmt.Errorf("not within %v (-w)", &r.wait))
}

// nowPatience is how long -n waits for servers that do not answer.
const nowPatience = time.Second

// open waits for a quorum, and says what else there is to wait for.
func (r *runAction) open(ctx context.Context, cfg engine.Config) (*engine.Engine, error) {
	if r.now {
		patience := nowPatience + 2*time.Duration(r.timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v (-n)", patience))
		defer cancel()
	}
	locks, err := r.make(cfg)
	if err != nil {
		return nil, err
	}
	err = locks.AwaitQuorum(ctx)
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		noteQuarantine(os.Stderr, r.name, locks.Instances(), time.Now(), r.first)
	}
	if err != nil {
		return nil, errors.Join(err, shut(locks))
	}
	return locks, nil
}

func (r *runAction) acquire(ctx context.Context, locks *engine.Engine, resources []string) (held *lease.Lease, err error) {
	var opts []engine.Option
	if r.permits > 0 {
		opts = append(opts, engine.Permits(r.permits), engine.Weight(r.weight))
	}
	if r.shared {
		opts = append(opts, engine.Shared())
	}
	if r.fencing && r.permits == 0 && !r.shared {
		opts = append(opts, engine.WithFencing())
	}
	if r.watch {
		opts = append(opts, engine.WithWatch())
	}
	switch {
	case r.all && r.now:
		held, err = locks.TryAcquireAll(ctx, resources, opts...)
	case r.all:
		held, err = locks.AcquireAll(ctx, resources, opts...)
	case r.now:
		held, err = locks.TryAcquire(ctx, resources[0], opts...)
	default:
		held, err = locks.Acquire(ctx, resources[0], opts...)
	}
	if exitCode(err) == exitHeld {
		return nil, &exitError{r.heldCode, err}
	}
	return held, err
}

// environ is our environment, without the servers' passwords, and what the command
// may know of its lock.
func (r *runAction) environ(l *lease.Lease) []string {
	env := os.Environ()
	if !r.pass {
		env = slices.DeleteFunc(env, func(variable string) bool {
			name, _, _ := strings.Cut(variable, "=")
			return name == environment || name == environmentFile
		})
	}
	env = append(env,
		"HOLDFAST_RESOURCE="+strings.Join(l.Resources(), "\n"),
		"HOLDFAST_TOKEN="+l.Token(),
		"HOLDFAST_FENCE=",
		"HOLDFAST_SLOTS="+strings.Trim(fmt.Sprint(l.Slots()), "[]"),
		"HOLDFAST_DEADLINE="+l.Deadline().UTC().Format(timeFormat),
	)
	if l.Fence() != 0 {
		env = append(env, "HOLDFAST_FENCE="+strconv.FormatUint(l.Fence(), 10))
	}
	return env
}

// end gives the lock back, and decides what the exit code is in the end.
func (r *runAction) end(held *lease.Lease, code int) error {
	err := held.Release(context.Background())
	switch {
	case errors.Is(err, lease.ErrLost):
		return fail(exitLost, "before the command had ended: %w", err)
	case err != nil: // the keys go by their TTL
		return r.warn(code, err)
	}
	return &exitError{code: code}
}

// leave leaves the lock as it is, to go by its TTL when --at-least is over.
func (r *runAction) leave(held *lease.Lease, rest time.Duration, code int) (err error) {
	if rest > held.Remaining() {
		rest = rest.Truncate(time.Millisecond) + time.Millisecond // what Redis counts in
		err = held.Extend(context.Background(), min(rest, time.Duration(r.maxTTL)))
	}
	_, lost := held.Detach()
	switch {
	case lost != nil:
		return fail(exitLost, "before the command had ended: %w", lost)
	case err != nil:
		return r.warn(code, fmt.Errorf("the lock may be free before --at-least is over: %w", err))
	}
	return &exitError{code: code}
}

// warn says what is wrong, but leaves the exit code as it is.
func (r *runAction) warn(code int, err error) error {
	fmt.Fprintf(os.Stderr, "holdfast %s: warning: %s\n", r.name, oneLine(err.Error()))
	return &exitError{code: code}
}

// self is the default owner, of the characters that an owner may have.
func self() string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	pid := strconv.Itoa(os.Getpid())
	clean := strings.Map(func(c rune) rune {
		if c <= ' ' || c >= '~' {
			return '-'
		}
		return c
	}, name+"@"+host)
	return clean[:min(len(clean), 100)] + ":" + pid
}
