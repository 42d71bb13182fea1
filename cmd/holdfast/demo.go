package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"time"
)

var demoRow = command{
	name:  "demo",
	short: "watch workers contend for a lock while servers die, all inside this program",
	make:  func() action { return new(demoAction) },
	long: `Starts three small Redis servers and four workers inside this program. It needs nothing
else and touches nothing else. The workers contend to be the leader. A server is
killed and revived, the leader is cut off from all servers and replaced, a majority
is killed and comes back. At the end it says whether there were ever two leaders.

On a terminal it shows all of that live, else it writes a line for each event.

Exit codes: 0 when there never were two leaders; 1 if there were; 130 for ^C.`,
}

// demoAction is `holdfast demo`.
type demoAction struct{ pace span }

func (d *demoAction) flags(fs *flag.FlagSet) {
	d.pace = span(3 * time.Second)
	fs.Var(&d.pace, "pace", "how long each scene takes: a `TIME`")
}

func (d *demoAction) run(ctx context.Context, args arguments) error {
	if len(args.all()) > 0 {
		return usage("it takes no arguments")
	}
	if pace := time.Duration(d.pace); pace < 100*time.Millisecond || pace > time.Minute {
		return usage("--pace is %v: it must be from 100ms to 1m", &d.pace)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	w, err := newWorld(time.Duration(d.pace))
	if err != nil {
		return err
	}
	defer w.close()
	v := newView(w, os.Stdout)
	v.start()
	err = w.play(ctx)
	v.stop()
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case err != nil:
		return &exitError{exitNo, err}
	}
	return nil
}

// play is the story, scene by scene.
func (w *world) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	end := func() {
		cancel()
		w.working.Wait()
	}
	defer end()
	w.say("three servers, four workers: each of them wants to lead")
	w.say("the leader has the lock on two servers, for %v, and renews it", w.ttl)
	for _, worker := range w.workers {
		w.working.Go(func() { worker.work(ctx) })
	}
	for _, scene := range []func(context.Context) error{
		w.calm, w.loseOne, w.loseLeader, w.loseMajority, w.calm,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	end()
	return w.verdict()
}

func (w *world) calm(ctx context.Context) error { return w.pause(ctx) }

func (w *world) loseOne(ctx context.Context) error {
	w.say("server 3 is killed: nobody needs to notice, as two are a majority")
	w.kill(2)
	if err := w.pause(ctx); err != nil {
		return err
	}
	w.say("server 3 is back, at the same address")
	return errors.Join(w.revive(2), w.pause(ctx))
}

func (w *world) loseLeader(ctx context.Context) error {
	leader, err := w.awaitLeader(ctx)
	if err != nil {
		return err
	}
	w.say("%s leads, and is cut off from all servers: it cannot renew", leader.name)
	leader.cutOff()
	if err := w.pause(ctx); err != nil {
		return err
	}
	w.say("%s is connected again", leader.name)
	leader.connect()
	return w.pause(ctx)
}

func (w *world) loseMajority(ctx context.Context) error {
	w.say("servers 1 and 2 are killed: nobody can renew, and nobody can become leader")
	w.kill(0)
	w.kill(1)
	if err := w.pause(ctx); err != nil {
		return err
	}
	w.say("servers 1 and 2 are back")
	return errors.Join(w.revive(0), w.revive(1), w.pause(ctx))
}
