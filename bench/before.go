package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// withQueues is the file that came with the queue of those who wait. The version before is the commit before that: its
// engines stand in no queue, and its programs are children that take the same orders.
const withQueues = "engine/queue.go"

// errNoHistory: this is no checkout, or one that does not go back as far as that.
var errNoHistory = errors.New("the checkout has no history of the version before")

// buildBefore builds this program as it was in the version before. The caller removes it.
func buildBefore(ctx context.Context) (program string, remove func(), err error) {
	added, err := output(ctx, "", "git", "log", "--diff-filter=A", "--format=%H", "--", ":(top)"+withQueues)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errNoHistory, err)
	}
	root, err := output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", errNoHistory, err)
	}
	before, err := output(ctx, "", "git", "rev-parse", "--verify", "--quiet", added+"^")
	if err != nil || added == "" {
		return "", nil, errNoHistory
	}
	dir, err := os.MkdirTemp("", "hf-before-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	tree := filepath.Join(dir, "tree")
	if _, err := output(ctx, "", "git", "clone", "-q", "--no-checkout", root, tree); err != nil {
		return "", nil, err
	}
	if _, err := output(ctx, tree, "git", "checkout", "-q", before); err != nil {
		return "", nil, err
	}
	bench := filepath.Join(tree, "bench")
	program = filepath.Join(dir, "bench-before")
	_, err = output(ctx, bench, "go", "build", "-o", program, ".")
	return program, remove, err
}

// output runs a program of the toolchain, with the workspace of the directory that it is run in, and returns what it prints.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if dir != "" {
		cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(dir, "go.work"))
	}
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
