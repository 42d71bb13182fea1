package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/examples/internal/embedded"
)

// term is how long a leader is left alone.
const term = ttl / 2

// watchThree starts three candidates and sees how one leader follows another.
func watchThree(ctx context.Context) error {
	servers, err := embedded.Start(3)
	if err != nil {
		return err
	}
	defer servers.Close()
	ctx, stop := context.WithCancel(ctx)
	candidates, ctx := errgroup.WithContext(ctx)
	elected := make(chan string) // sent to by candidates, when they lead
	running := make(map[string]*exec.Cmd)
	for _, name := range []string{"Ada", "Bob", "Cy"} {
		cmd, err := start(ctx, candidates, name, servers.URLs(), elected)
		if err != nil {
			stop()
			return errors.Join(err, candidates.Wait())
		}
		running[name] = cmd
	}
	err = succession(ctx, running, elected)
	stop() // interrupts the candidates that still run
	if failed := candidates.Wait(); err == nil {
		err = failed
	}
	return err
}

// succession ends two terms: one by death, one by request.
func succession(ctx context.Context, running map[string]*exec.Cmd, elected <-chan string) error {
	since := time.Now()
	for _, end := range []os.Signal{os.Kill, os.Interrupt, nil} {
		var leader string
		select {
		case leader = <-elected:
		case <-ctx.Done():
			return ctx.Err()
		}
		fmt.Printf("%s leads, after %v without a leader\n", leader, time.Since(since).Round(time.Millisecond))
		select {
		case <-time.After(term):
		case <-ctx.Done():
			return ctx.Err()
		}
		switch end {
		case os.Kill:
			fmt.Printf("%s is killed: the lease must run out, which takes %v at most\n", leader, ttl)
		case os.Interrupt:
			fmt.Printf("%s is interrupted, and releases the lease\n", leader)
		default:
			return nil
		}
		since = time.Now()
		if err := running[leader].Process.Signal(end); err != nil {
			return err
		}
	}
	return nil
}

// start starts this program as one candidate. Its goroutine ends when the candidate
// has: with an interrupt when ctx ends.
func start(ctx context.Context, candidates *errgroup.Group, name string, urls []string, elected chan<- string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-name", name)
	cmd.Env = append(os.Environ(), "HOLDFAST_REDIS="+strings.Join(urls, ","))
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = openTimeout
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	candidates.Go(func() error {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == name+" leads" {
				select {
				case elected <- name:
				case <-ctx.Done():
				}
			}
		}
		err := cmd.Wait()
		if cmd.ProcessState.ExitCode() == 0 || killed(cmd) || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%s: %w", name, err)
	})
	return cmd, nil
}

// killed reports whether a signal has ended the process.
func killed(cmd *exec.Cmd) bool { return cmd.ProcessState.ExitCode() == -1 }
