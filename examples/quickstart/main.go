// Quickstart tells the story of one lock on three Redis servers, step by step,
// in about five seconds:
//
//	go run ./examples/quickstart
//
// The servers run inside the program, which kills two of them to show what
// happens then. With HOLDFAST_REDIS set it uses real servers, and kills none:
//
//	HOLDFAST_REDIS=redis://host1:6379,redis://host2:6379,redis://host3:6379 go run ./examples/quickstart
//
// There, it touches no key that does not have holdfast-quickstart: and a random
// word in its name. -v shows the engines' log on standard error.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
	"github.com/holdfast-go/holdfast/lease"
)

const (
	ttl    = time.Second // short, so that you can watch a lease outlive it
	report = "report"    // the resource that everybody wants

	openTimeout  = 5 * time.Second
	storyTimeout = 30 * time.Second
)

func main() {
	verbose := flag.Bool("v", false, "show the engines' log on standard error")
	flag.Parse()
	var log *slog.Logger // nil is silent
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, embedded.Env(), log)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// run tells the whole story. Without URLs it brings servers of its own.
func run(ctx context.Context, out io.Writer, urls []string, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, storyTimeout)
	defer cancel()
	s := newStory(out, urls, log)
	defer s.leave()
	for _, step := range []func(context.Context) error{
		s.open,
		s.acquire,
		s.contend,
		s.renew,
		s.loseOne,
		s.handOver,
		s.fence,
		s.loseMajority,
		s.end,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.failure
}

// story is one run of the program.
type story struct {
	narrator
	urls    []string
	log     *slog.Logger
	servers *embedded.Servers // nil when the servers are real

	ada, bob, cy person
	held         *lease.Lease // of the report: Ada's at first, Bob's later
	since        time.Time    // when Ada got it
	outcome      chan outcome // where Bob's Acquire goes when it returns; has room for it
}

// person has an engine of their own, as a process on another machine would.
type person struct {
	*engine.Engine
	name string
}

// outcome is what an Acquire returned, and when.
type outcome struct {
	lease *lease.Lease
	err   error
	at    time.Time
}

func newStory(out io.Writer, urls []string, log *slog.Logger) *story {
	return &story{
		narrator: newNarrator(out),
		urls:     urls,
		log:      log,
		ada:      person{name: "Ada"},
		bob:      person{name: "Bob"},
		cy:       person{name: "Cy"},
	}
}

func (s *story) everybody() []*person { return []*person{&s.ada, &s.bob, &s.cy} }

// open makes the engines: that is all the setup there is.
func (s *story) open(ctx context.Context) (err error) {
	s.title("Holdfast: a lock is held when a majority of Redis servers says so.")
	s.chapter("The servers")
	if err := s.findServers(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	prefix := "holdfast-quickstart:" + rand.Text()[:8] + ":"
	for _, p := range s.everybody() {
		p.Engine, err = engine.Open(ctx, s.urls, engine.Config{
			TTL:       ttl,
			Owner:     p.name,
			KeyPrefix: prefix,
			Logger:    s.log,
		})
		if err != nil {
			return err
		}
	}
	var names []string
	for _, i := range s.ada.Instances() {
		names = append(names, i.Name)
	}
	s.say("", "Ada, Bob and Cy open an engine each, as three processes would.")
	s.say("", "They lock by a majority, %d of %d, of the servers", len(names)/2+1, len(names))
	s.quote(strings.Join(names, ", "))
	s.say("", "and under keys like %s", prefix+report)
	return nil
}

// findServers starts servers if none were given.
func (s *story) findServers() (err error) {
	if len(s.urls) > 0 {
		s.say("", "HOLDFAST_REDIS names real ones, %d in all. None gets killed.", len(s.urls))
		return nil
	}
	if s.servers, err = embedded.Start(3); err != nil {
		return err
	}
	s.urls = s.servers.URLs()
	s.say("", "HOLDFAST_REDIS is not set: three run inside this program.")
	return nil
}

// acquire takes the lock. Nobody else wants it yet.
func (s *story) acquire(ctx context.Context) (err error) {
	s.chapter("Acquire")
	start := time.Now()
	if s.held, err = s.ada.Acquire(ctx, report); err != nil {
		return err
	}
	s.since = time.Now()
	s.say("Ada", "holds the report: a majority said yes, in %s.", ms(s.since.Sub(start)))
	s.say("Ada", "may rely on it for %s: the TTL of %s, less the asking, less a margin for clocks that run apart.", ms(s.held.Remaining()), ms(ttl))
	return nil
}

// contend shows the two ways of not getting it: to be told so, and to wait.
func (s *story) contend(ctx context.Context) error {
	s.chapter("Contend")
	_, err := s.cy.TryAcquire(ctx, report)
	if !errors.Is(err, engine.ErrHeld) {
		return fmt.Errorf("the report is held, but TryAcquire by another returned %v", err)
	}
	s.say("Cy", "tries once, and is refused. The error says who holds it:")
	s.quote(err.Error())
	if strings.Contains(err.Error(), "not waited for") {
		s.say("", "Not waited for is no fault: the others are a majority.")
	}

	s.outcome = make(chan outcome, 1)
	go func() {
		l, err := s.bob.Acquire(ctx, report)
		s.outcome <- outcome{l, err, time.Now()}
	}()
	s.say("Bob", "wants it too, and waits: Acquire returns when it is his turn.")
	return nil
}

// renew only works: the engine renews by itself.
func (s *story) renew(ctx context.Context) error {
	s.chapter("Renew")
	for range 3 {
		if err := work(ctx, s.held, 7*ttl/10); err != nil {
			return err
		}
		s.say("Ada", "has held it for %s, and may for another %s at least.", ms(time.Since(s.since)), ms(s.held.Remaining()))
	}
	s.say("", "The TTL is still %s: if she died, it would be free by then.", ms(ttl))
	return nil
}

// work is what a lease is for. It stops as soon as the lease ends, and says why.
func work(ctx context.Context, l *lease.Lease, d time.Duration) error {
	ctx, cancel := l.Context(ctx)
	defer cancel()
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// loseOne kills a server, and nobody needs to notice.
func (s *story) loseOne(ctx context.Context) error {
	s.chapter("Lose one server")
	if s.servers == nil {
		s.say("", "Skipped: these servers are real.")
		return nil
	}
	s.say("", "%s is killed. Two of three are a majority.", s.servers.Kill(2))
	start := time.Now()
	bills, err := s.cy.Acquire(ctx, "bills")
	if err != nil {
		return err
	}
	s.say("Cy", "locks the bills all the same, in %s.", ms(time.Since(start)))
	if err := work(ctx, bills, 12*ttl/10); err != nil {
		return err
	}
	s.say("Cy", "has held them for more than the TTL: two can renew, too.")
	start = time.Now()
	if err := bills.Release(ctx); err != nil {
		return err
	}
	s.say("Cy", "releases them, in %s.", ms(time.Since(start)))
	s.say("Ada", "holds the report as before, for %s by now.", ms(time.Since(s.since)))
	return nil
}

// handOver releases the report, for which Bob has been waiting.
func (s *story) handOver(ctx context.Context) error {
	s.chapter("Hand over")
	released := time.Now()
	if err := s.held.Release(ctx); err != nil {
		return err
	}
	s.say("Ada", "releases the report: Done is closed, Err is %q.", s.held.Err())
	bobs := <-s.outcome
	if bobs.err != nil {
		return bobs.err
	}
	s.held = bobs.lease
	s.say("Bob", "holds it, %s after she let go.", ms(bobs.at.Sub(released)))
	if s.servers != nil {
		s.say("", "A Redis tells him at once. These servers inside the program push nothing, so that he asks again, after a quarter of a second at most.")
	}
	status, err := s.cy.Inspect(ctx, report)
	if err != nil {
		return err
	}
	s.say("Cy", "looks: %v.", status)
	return nil
}

// fence shows the last line of defence: what the lock protects looks, too.
func (s *story) fence(ctx context.Context) error {
	s.chapter("Fence")
	var book ledger
	var tokens []uint64
	for _, p := range s.everybody() {
		l, err := p.Acquire(ctx, "ledger", engine.WithFencing())
		if err != nil {
			return err
		}
		if err := book.write(l.Fence()); err != nil {
			return err
		}
		s.say(p.name, "writes to the ledger, with fencing token %d.", l.Fence())
		tokens = append(tokens, l.Fence())
		if err := l.Release(ctx); err != nil {
			return err
		}
	}
	late := book.write(tokens[0])
	if late == nil {
		return fmt.Errorf("the fencing tokens %d do not rise", tokens)
	}
	s.say("Ada", "had one more write on its way. It is %v.", late)
	s.say("", "Tokens only rise, so the ledger can tell who comes too late.")
	return nil
}

// ledger is what a lock protects. It remembers the highest token it has seen.
type ledger struct{ highest uint64 }

func (l *ledger) write(fence uint64) error {
	if fence < l.highest {
		return fmt.Errorf("refused: its token %d is below %d", fence, l.highest)
	}
	l.highest = fence
	return nil
}

// loseMajority kills another server, which the holder must notice, in time.
func (s *story) loseMajority(ctx context.Context) error {
	s.chapter("Lose the majority")
	if s.servers == nil {
		s.say("", "Skipped: these servers are real.")
		return nil
	}
	s.say("", "%s is killed too. One of three is no majority.", s.servers.Kill(1))
	s.say("Bob", "cannot renew any more. He was promised another %s.", ms(s.held.Remaining()))
	<-s.held.Done()
	s.say("Bob", "must stop now: Done is closed, Err is %q.", s.held.Err())

	status, err := s.cy.Inspect(ctx, report)
	if !errors.Is(err, engine.ErrNoQuorum) {
		return fmt.Errorf("two servers of three are dead, but Inspect returned %v, %v", status, err)
	}
	s.say("", "Done came first: on the last server his key has %s left.", ms(max(0, status.Votes[0].Left)))
	s.say("Cy", "looks, and learns that nobody can say who holds the report:")
	s.quote(err.Error())

	if err := s.held.Release(ctx); !errors.Is(err, lease.ErrLost) {
		return fmt.Errorf("the lease is lost, but Release returned %v", err)
	}
	s.say("Bob", "releases it, and Release says that he had lost it before.")
	return nil
}

// end closes the engines, which releases what they still hold.
func (s *story) end(ctx context.Context) error {
	s.chapter("The end")
	for _, p := range s.everybody() {
		if err := p.Close(ctx); err != nil {
			return err
		}
	}
	if s.servers != nil {
		s.say("", "All engines are closed.")
		return nil
	}
	s.say("", "All engines are closed, which has released Bob's report.")
	s.say("", "The ledger's highest token stays on your servers for an hour.")
	return nil
}

// leave cleans up, however far the story has got.
func (s *story) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	for _, p := range s.everybody() {
		if p.Engine != nil {
			_ = p.Close(ctx) // what there is to say has been said
		}
	}
	s.servers.Close()
}
