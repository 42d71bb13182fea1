package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// child is the parent's end of a child process.
type child struct {
	*process
	name    string
	answers []chan answer // one a session, and the last one nobody's; the reader sends, and closes them; one slot each
	stdin   *os.File
	reading sync.WaitGroup

	mu     sync.Mutex
	orders *json.Encoder // to stdin
}

// startChildren returns when n children of this process, each a run of the program or, if that is "", of this one, have
// opened the peer. Each has a session for each resource.
func startChildren(ctx context.Context, program string, n int, p peer, f *fleet, resources []string) ([]*child, error) {
	a := assignment{Peer: p.name, Resources: resources}
	for _, s := range f.servers {
		a.Servers = append(a.Servers, place{s.network, s.addr})
	}
	var list []*child
	for i := range n {
		c, err := startChild(program, fmt.Sprintf("%s, process %d", p.name, i+1), a)
		if err != nil {
			return nil, errors.Join(err, stopChildren(list))
		}
		list = append(list, c)
	}
	for _, c := range list {
		if _, err := c.hear(ctx, nobody); err != nil {
			return nil, errors.Join(err, stopChildren(list))
		}
	}
	return list, nil
}

func startChild(program, name string, a assignment) (_ *child, err error) {
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	c := &child{name: name}
	for range len(a.Resources) + 1 {
		c.answers = append(c.answers, make(chan answer, 1))
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		ourOut.Close()
		return nil, err
	}
	defer theirOut.Close()
	cmd := exec.Command(program, childArg)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, os.Stderr
	if c.process, err = spawn(cmd); err != nil {
		ourOut.Close()
		ourIn.Close()
		return nil, err
	}
	c.stdin, c.orders = ourOut, json.NewEncoder(ourOut)
	c.reading.Go(func() { c.read(ourIn) })
	if err := c.orders.Encode(a); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// read passes the answers on. startChild starts it, the child's end ends it, stop waits for it.
func (c *child) read(from *os.File) {
	defer from.Close()
	for in := json.NewDecoder(from); ; {
		var a answer
		if err := in.Decode(&a); err != nil {
			break
		}
		c.slot(a.Session) <- a
	}
	for _, slot := range c.answers {
		close(slot)
	}
}

func (c *child) slot(session int) chan answer {
	if session == nobody {
		session = len(c.answers) - 1
	}
	return c.answers[session]
}

// tell sends an order.
func (c *child) tell(o order) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders.Encode(o)
}

// hear waits for the answer to a session's order.
func (c *child) hear(ctx context.Context, session int) (answer, error) {
	select {
	case a, ok := <-c.slot(session):
		if !ok {
			return a, fmt.Errorf("%s has ended before its time", c.name)
		}
		return a, nil
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	case <-time.After(limit):
		return answer{}, fmt.Errorf("%s has not answered for %v", c.name, limit)
	}
}

func (c *child) ask(ctx context.Context, o order) (answer, error) {
	if err := c.tell(o); err != nil {
		return answer{}, err
	}
	return c.hear(ctx, o.Session)
}

// stop ends the child and returns when it is gone. What a child says by its exit status, such as that the race detector
// has found something, is an error.
func (c *child) stop() (err error) {
	_ = c.stdin.Close()
	select {
	case <-c.dead:
	case <-time.After(full.patience):
		c.kill()
		err = fmt.Errorf("%s did not end by itself in %v", c.name, full.patience)
	}
	c.reading.Wait()
	if state := c.cmd.ProcessState; state.ExitCode() > 0 {
		err = fmt.Errorf("%s: %v", c.name, state)
	}
	return err
}

func stopChildren(list []*child) error {
	errs := make([]error, len(list))
	var stops sync.WaitGroup
	for i, c := range list {
		stops.Go(func() { errs[i] = c.stop() })
	}
	stops.Wait()
	return errors.Join(errs...)
}

// failure is the error of what the order asked for.
func (a answer) failure() error {
	if a.Err == "" {
		return nil
	}
	return errors.New(a.Err)
}
