package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// idle: what do those cost who wait for long?
var idle = scenario{
	name:  "idle",
	title: "very many callers of one process wait, each for a resource of its own that another process holds",
	columns: []column{
		{"sent", "commands/s to a server", count},
		{"server", "server CPU, of one core", percent},
		{"client", "client CPU, of one core", percent},
	},
	run: runIdle,
}

func runIdle(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"One round. Only what the waiters send is counted, on its way to the servers; their CPU has the holder's renewals in it,",
		"and the client's is this process's, with the holder and the relays. Holdfast's and rueidislock's holders renew; the",
		"others' do not, so that their waiters have it easier. In the small table the server remembers a tenth of what is waited for",
		"(tracking-table-max-keys).",
	}
	once := *b
	once.rounds = 1
	for _, row := range []struct {
		instances int
		table     int
		peers     []peer
	}{
		{1, 0, []peer{holdfast, redsyncWaiting, redislockWaiting, rueidislockWaiting, etcdPeer}},
		{1, b.idlers / 10, []peer{holdfast, rueidislockWaiting}},
		{3, 0, []peer{holdfast, redsyncWaiting}},
	} {
		place := cell{instances: row.instances, callers: b.idlers}
		if row.table > 0 {
			place.under = "small table"
		}
		_, err := once.cell(ctx, r, place, row.peers, func(ctx context.Context, f *fleet, p peer) (values, error) {
			if row.table > 0 {
				clients := connect(f)
				defer clients.close()
				for _, c := range clients {
					if err := c.ConfigSet(ctx, "tracking-table-max-keys", fmt.Sprint(row.table)).Err(); err != nil {
						return nil, err
					}
				}
			}
			return once.waiting(ctx, f, p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// waiting has all resources held by one process, and waited for by another.
func (b *bench) waiting(ctx context.Context, f *fleet, p peer) (v values, err error) {
	near, relays, err := farAway(f, 0)
	if err != nil {
		return nil, err
	}
	defer relays.close()
	holder, err := p.open(ctx, f)
	if err != nil {
		return nil, err
	}
	defer holder.close()
	waiter, err := p.open(ctx, near)
	if err != nil {
		return nil, err
	}
	defer waiter.close()
	sessions := make([]session, b.idlers)
	var holding errgroup.Group
	holding.SetLimit(16)
	for i := range sessions {
		name := fmt.Sprint("idle-", i)
		held := holder.session(name)
		holding.Go(func() error { return held.acquire(ctx) })
		sessions[i] = waiter.session(name)
	}
	if err := holding.Wait(); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithCancel(ctx)
	var waiters errgroup.Group
	for _, s := range sessions {
		waiters.Go(func() error {
			if err := s.acquire(waiting); err == nil {
				return errors.New("it got a lock that is held")
			}
			return nil
		})
	}
	sleep(ctx, b.idling)
	sent, server, client, begun := relays.commands(), f.cpu(), cpu(), time.Now()
	sleep(ctx, b.idling)
	took := time.Since(begun).Seconds()
	sent, server, client = relays.commands()-sent, f.cpu()-server, cpu()-client
	cancel()
	if err := errors.Join(waiters.Wait(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	v = values{"server": server.Seconds() / took, "client": client.Seconds() / took}
	if p.program() == redisServer {
		v["sent"] = float64(sent) / took / float64(len(f.servers))
	}
	return v, nil
}
