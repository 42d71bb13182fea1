package main

import (
	"context"
	"slices"

	"github.com/holdfast-go/holdfast/engine"
)

// releases: what is a server's own compare-and-delete worth?
var releases = scenario{
	name:  "releases",
	title: "releases by DELIFEQ or DELEX, and by scripts; every caller has a resource of its own",
	columns: []column{
		{"rate", "cycles/s", count},
		{"to script", "to by script", ratio},
		{"here", "CPU here", duration},
		{"there", "CPU of servers", duration},
		{"there more", "servers to by script", ratio},
		{"errors", "failed", count},
	},
	run: runReleases,
}

// byScript is Holdfast where its user may use no native compare-and-delete: the same build, with the script in its place.
var byScript = peer{
	name: "holdfast, by script",
	open: func(ctx context.Context, f *fleet) (locker, error) {
		servers := connect(f)
		defer servers.close()
		for _, s := range servers {
			for _, native := range natives { // an error is a server that does not know it
				_ = s.Do(ctx, "ACL", "SETUSER", "default", "-"+native).Err()
			}
		}
		e, err := engine.Open(ctx, f.urls(), engine.Config{})
		if err != nil {
			return nil, err
		}
		return holdfastLocker{engine: e}, nil
	},
}

// natives are the commands that compare and delete: Valkey 9's, and Redis 8.4's.
var natives = []string{"delifeq", "delex"}

func runReleases(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"By script: the servers' user may not use the command. Servers that have neither release by script in both rows; -server",
		"names another. CPU is that of a cycle, here and of all servers together.",
	}
	native := false // whether there is anything to compare
	for _, callers := range []int{1, 64, 512} {
		records, err := b.cell(ctx, r, cell{3, callers, ""}, []peer{holdfast, byScript}, here(func(ctx context.Context, f *fleet, l locker) (v values, err error) {
			if native, err = f.hasNative(ctx); err != nil {
				return nil, err
			}
			return b.cyclesOf(ctx, f, ownResources(l, callers))
		}))
		if err != nil {
			return err
		}
		if native {
			compare(records, "rate", byScript.name, "to script")
			compare(records, "there", byScript.name, "there more")
		}
	}
	return nil
}

// hasNative reports whether the servers know any of the commands.
func (f *fleet) hasNative(ctx context.Context) (bool, error) {
	servers := connect(f)
	defer servers.close()
	known, err := servers[0].Do(ctx, "COMMAND", "INFO", natives[0], natives[1]).Slice()
	return slices.ContainsFunc(known, func(one any) bool { return one != nil }), err
}
