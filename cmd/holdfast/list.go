package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
)

var listRow = command{
	name:  "list",
	args:  "PREFIX",
	short: "list the locks whose names begin with a prefix",
	make:  func() action { return new(listAction) },
	long: `Searches the keys of each instance (of a cluster: of each master) for locks whose names
begin with PREFIX, which may be ''. Then it asks all instances for each of them, as
status does. It shows the holder, for how long, and how many instances say so. This is
a look, not a lock: it may be different a moment later.

A lock is a key whose value is a token that Holdfast makes. --all also lists every other
string of that name: a program's own tokens (WithToken), other libraries' locks, and
strings that are no locks.

It searches for --for at most, and lists --limit names at most. When that was not
enough, a line on standard error says so. It needs SCAN and GETRANGE: an account may
need these in addition to what locking needs.

--json writes one object for each resource, on a line of its own, as status does.

Exit codes: 0 when it searched enough instances to miss no lock, though the list may
have been cut off; 69 when they were too few; 64 for a wrong command line.`,
}

// listAction is `holdfast list`.
type listAction struct {
	servers
	json  bool
	all   bool
	limit int
	span  span
}

func (l *listAction) flags(fs *flag.FlagSet) {
	l.servers.flags(fs)
	l.span = span(10 * time.Second)
	fs.BoolVar(&l.json, "json", false, "write JSON")
	fs.BoolVar(&l.all, "all", false, "also list strings that are no token of Holdfast's")
	fs.IntVar(&l.limit, "limit", 1000, "list at most `N` names")
	fs.Var(&l.span, "for", "search for `TIME` at most")
}

// maxListed bounds --limit: all names are kept in memory.
const maxListed = 100_000

func (l *listAction) run(ctx context.Context, args arguments) error {
	prefixes := args.all()
	switch {
	case len(prefixes) != 1:
		return usage("name one prefix, which may be '': holdfast list PREFIX")
	case l.limit < 1 || l.limit > maxListed:
		return usage("--limit is %d: it must be from 1 to %d", l.limit, maxListed)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	found, err := l.search(ctx, prefixes[0])
	if err != nil {
		return err
	}
	locks, err := l.look(ctx, l.config())
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }()
	looks := inspectAll(ctx, locks, found.names())
	if err := interrupted(ctx); err != nil {
		return err
	}
	looks = slices.DeleteFunc(looks, func(s seen) bool { return s.err == nil && !s.anybody() }) // gone meanwhile
	if err := l.print(looks); err != nil {
		return err
	}
	return found.complain()
}

// catch is what a search has brought.
type catch struct {
	limit   int
	found   map[string]bool
	cut     []string // why there may be more
	failed  []error  // instances that could not be searched
	servers int
}

// names are those found, in order, as many as are wanted.
func (c *catch) names() []string {
	names := slices.Sorted(maps.Keys(c.found))
	if len(names) > c.limit {
		c.cut = append(c.cut, fmt.Sprintf("there are more than %d names (--limit)", c.limit))
		names = names[:c.limit]
	}
	return names
}

// complain says on standard error what the list may lack. A lock is on a majority
// of the servers, so that it is found while fewer than a majority are missing.
func (c *catch) complain() error {
	for _, err := range c.failed {
		fmt.Fprintf(os.Stderr, "holdfast list: not searched: %s\n", oneLine(err.Error()))
	}
	for _, why := range slices.Compact(slices.Sorted(slices.Values(c.cut))) {
		fmt.Fprintf(os.Stderr, "holdfast list: cut off: %s\n", why)
	}
	if need := c.servers/2 + 1; len(c.failed) >= need {
		return fail(exitNoQuorum, "%d of %d instances could not be searched: locks may be missing", len(c.failed), c.servers)
	}
	return nil
}

// search looks through all servers at the same time.
func (l *listAction) search(ctx context.Context, prefix string) (*catch, error) {
	instances, err := l.dial(nil)
	if err != nil {
		return nil, err
	}
	searches := make([]search, len(instances))
	var searching errgroup.Group
	bounded, cancel := context.WithTimeout(ctx, time.Duration(l.span))
	defer cancel()
	for n, i := range instances {
		s := &searches[n]
		*s = search{prefix: l.prefix, pattern: literally(l.prefix+prefix) + "*", all: l.all, limit: l.limit, found: make(map[string]bool)}
		searching.Go(func() error {
			s.err = s.through(bounded, i)
			return nil
		})
	}
	_ = searching.Wait() // none returns an error
	if err := interrupted(ctx); err != nil {
		return nil, err
	}
	c := &catch{limit: l.limit, found: make(map[string]bool), servers: len(instances)}
	for n, s := range searches {
		maps.Copy(c.found, s.found)
		switch {
		case bounded.Err() != nil && s.err != nil:
			c.cut = append(c.cut, fmt.Sprintf("searching an instance takes longer than %v (--for)", &l.span))
		case s.err != nil:
			c.failed = append(c.failed, fmt.Errorf("%s: %w", instances[n].Name(), s.err))
		}
	}
	return c, nil
}

// search is that of one instance.
type search struct {
	prefix  string // of all keys
	pattern string // of those wanted
	all     bool
	limit   int
	found   map[string]bool // resources; one more than the limit at most
	err     error           // why it did not come to the end
}

func (s *search) through(ctx context.Context, i *instance.Instance) error {
	servers, err := i.Servers(ctx)
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := server.Ask(ctx, func(client *redis.Client) error { return s.scan(ctx, client) }); err != nil {
			return err
		}
	}
	return nil
}

// scanned is how many keys a server looks at in one step, during which it does
// nothing else.
const scanned = 1000

// scan looks through one server, step by step.
func (s *search) scan(ctx context.Context, client *redis.Client) error {
	cursor := uint64(0)
	for {
		keys, next, err := client.Scan(ctx, cursor, s.pattern, scanned).Result()
		if err != nil {
			return err
		}
		if err := s.sift(ctx, client, keys); err != nil {
			return err
		}
		if cursor = next; cursor == 0 || len(s.found) > s.limit {
			return nil
		}
	}
}

// longestValue is more than a token has: of a value no more is read.
const longestValue = 1025

// sift keeps the names of what may be a lock.
func (s *search) sift(ctx context.Context, client *redis.Client, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	values := make([]*redis.StringCmd, len(keys))
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n, key := range keys {
			values[n] = p.GetRange(ctx, key, 0, longestValue-1)
		}
		return nil
	})
	var refused redis.Error
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	for n, value := range values {
		switch text, err := value.Result(); {
		case err != nil && strings.HasPrefix(err.Error(), "NOPERM"):
			return err
		case err != nil || text == "": // no string, moved to another node of a cluster, or gone
		case s.wanted(keys[n], text) && len(s.found) <= s.limit:
			s.found[strings.TrimPrefix(keys[n], s.prefix)] = true
		}
	}
	return nil
}

// wanted reports whether a key is a lock, or may be one: the highest fencing token
// of a lock is kept beside it, and so is the queue of those that wait for it.
func (s *search) wanted(key, value string) bool {
	if s.all {
		return !slots.IsBeside(strings.TrimPrefix(key, s.prefix))
	}
	_, ours := engine.ParseToken(value)
	return ours
}

// literally is a pattern that matches the text and nothing else.
func literally(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// asking is how many names are asked for at the same time.
const asking = 64

// inspectAll is inspect for many.
func inspectAll(ctx context.Context, locks *engine.Engine, resources []string) []seen {
	looks := make([]seen, len(resources))
	var asked errgroup.Group
	asked.SetLimit(asking)
	for n, resource := range resources {
		asked.Go(func() error {
			looks[n].Status, looks[n].err = locks.Inspect(ctx, resource)
			return nil
		})
	}
	_ = asked.Wait() // none returns an error
	return looks
}

// print shows a table, or JSON.
func (l *listAction) print(looks []seen) error {
	if l.json {
		return (&statusAction{json: true}).print(looks)
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RESOURCE\tHELD BY\tFOR ANOTHER\tINSTANCES")
	for _, look := range looks {
		fmt.Fprintln(t, look.row())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := os.Stdout.Write(b.Bytes())
	return err
}

// row is a look in one line of a table. What only a minority has is no lock, but
// may be in the way of one.
func (s seen) row() string {
	holder, left, have := s.Token, s.Remaining, 0
	for _, v := range s.Votes {
		if holder == "" {
			holder, left = v.Holder, v.Left
		}
		if v.Holder != "" && v.Holder == holder {
			have++
		}
	}
	shown := fmt.Sprintf("%q\t%s\t%s\t%d of %d", s.Resource, instance.Abbreviate(holder), forAnother(left), have, len(s.Votes))
	switch {
	case s.err != nil && len(s.Votes) == 0:
		return fmt.Sprintf("%q\t%s\t\t", s.Resource, oneLine(s.err.Error()))
	case s.err != nil:
		return shown + ", too few answer"
	case !s.Held:
		return shown + ": not held"
	}
	return shown
}

func forAnother(left time.Duration) string {
	if left < 0 {
		return "ever"
	}
	return left.Round(time.Millisecond).String()
}
