package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

var releaseRow = command{
	name:  "release",
	args:  "RESOURCE",
	short: "give a lock back by its token, or take it away by force",
	make:  func() action { return new(releaseAction) },
	long: `With a token, the lock is given back if that token holds it. A command of
` + "`holdfast run`" + ` finds its token in HOLDFAST_TOKEN. holdfast release reads it there, too,
so the token need not be in the list of processes.

--force takes the lock away from its holder, and also deletes what a minority of the
instances has. It shows the holder and asks first, unless --yes is given. It deletes
only what it has shown: a holder that has come meanwhile keeps the lock. It warns when
the value is no token that Holdfast makes: it may be no lock. The holder is not asked. The
command of a ` + "`holdfast run`" + ` gets TERM at once. A program that does not watch its lock
notices at its next renewal, and works on unprotected until then. A lock whose holder has
died ends by itself, with its TTL.

--audit writes down each release, and for a release by force whose lock it was: see
` + "`holdfast help audit`" + `.

Exit codes: 0 when it is released; 1 when that token does not hold the lock, or the
question was not answered with yes; 69 when too few instances answer; 64 for a wrong
command line.`,
}

// releaseAction is `holdfast release`.
type releaseAction struct {
	servers
	token string
	force bool
	yes   bool
	audit audit
}

func (r *releaseAction) flags(fs *flag.FlagSet) {
	r.servers.flags(fs)
	fs.StringVar(&r.token, "token", "", "the `TOKEN` that holds the lock. Default: HOLDFAST_TOKEN")
	fs.BoolVar(&r.force, "force", false, "take it away from its holder")
	fs.BoolVar(&r.yes, "yes", false, "with --force: do not ask")
	r.audit.flags(fs)
}

func (r *releaseAction) run(ctx context.Context, args arguments) error {
	resources := args.all()
	if len(resources) != 1 {
		return usage("name one resource: holdfast release RESOURCE")
	}
	token := r.token
	if token == "" && !r.force {
		token = os.Getenv("HOLDFAST_TOKEN")
	}
	switch {
	case r.force && token != "":
		return usage("--token and --force: choose one")
	case r.yes && !r.force:
		return usage("--yes belongs to --force")
	case token == "" && !r.force:
		return usage("say which token holds the lock, with --token or in HOLDFAST_TOKEN, or use --force")
	}
	if err := r.audit.open("release"); err != nil {
		return err
	}
	defer r.audit.close()
	ctx, stop := interruptible(ctx)
	defer stop()
	locks, err := r.look(ctx, r.config())
	if err != nil {
		return err
	}
	defer func() { _ = shut(locks) }()
	if r.force {
		return r.takeAway(ctx, locks, resources[0])
	}
	return r.giveBack(ctx, locks, resources[0], token)
}

// giveBack proves by a quorum that the token holds the lock, and releases it.
func (r *releaseAction) giveBack(ctx context.Context, locks *engine.Engine, resource, token string) error {
	l, err := locks.Adopt(ctx, resource, token, engine.WithoutRenewal())
	if err == nil {
		err = l.Release(ctx)
	}
	switch {
	case errors.Is(err, lease.ErrLost):
		return &exitError{exitNo, fmt.Errorf("that token does not hold the lock: %w", err)}
	case err != nil:
		return err
	}
	r.audit.gaveBack(resource, token)
	fmt.Printf("%q is released\n", resource)
	return nil
}

// takeAway releases what it shows, if that is wanted.
func (r *releaseAction) takeAway(ctx context.Context, locks *engine.Engine, resource string) error {
	s := inspect(ctx, locks, []string{resource})[0]
	if len(s.Votes) == 0 || ctx.Err() != nil {
		return s.err
	}
	s.write(os.Stdout)
	if !s.anybody() {
		if s.err == nil {
			fmt.Println("There is nothing to release.")
		}
		return s.err
	}
	if s.foreign() {
		fmt.Fprintln(os.Stderr, "holdfast release: warning: the value is no token that Holdfast makes: it is another library's lock, a program's own token, or no lock at all")
	}
	if !r.yes && !confirmed(ctx) {
		return fail(exitNo, "not released")
	}
	err := locks.ForceRelease(ctx, s.Status)
	r.audit.forced(s.Status, err)
	if err != nil {
		return err
	}
	fmt.Printf("%q is released\n", resource)
	return nil
}

// anybody reports whether any server has the lock in anybody's name.
func (s seen) anybody() bool {
	for _, v := range s.Votes {
		if v.Holder != "" {
			return true
		}
	}
	return false
}

// foreign reports whether any server has something in it that no engine has made.
func (s seen) foreign() bool {
	for _, v := range s.Votes {
		if _, ours := engine.ParseToken(v.Holder); v.Holder != "" && !ours {
			return true
		}
	}
	return false
}

// confirmed asks, and takes nothing but yes for a yes.
func confirmed(ctx context.Context) bool {
	fmt.Fprint(os.Stderr, "Take it away? The holder works on unprotected until it learns of it. [yes/no] ")
	answers := make(chan string, 1)
	go func() { // reads until the process ends, if nobody answers
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answers <- answer
	}()
	select {
	case answer := <-answers:
		answer = strings.ToLower(strings.TrimSpace(answer))
		return answer == "y" || answer == "yes"
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		return false
	}
}
