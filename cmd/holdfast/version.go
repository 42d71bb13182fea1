package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

var versionRow = command{
	name:  "version",
	short: "print the version, as --version does",
	make:  func() action { return versionAction{} },
	long: `One line: the version, and in brackets what it was built by and for. A build from a clone
has no version: it says devel, and the revision where the go command has noted it.`,
}

type versionAction struct{}

func (versionAction) flags(*flag.FlagSet) {}

func (versionAction) run(_ context.Context, args arguments) error {
	if len(args.all()) > 0 {
		return usage("it takes no arguments")
	}
	return printVersion(os.Stdout)
}

func printVersion(w io.Writer) error {
	info, _ := debug.ReadBuildInfo() // nil where the go command did not build it
	_, err := fmt.Fprintf(w, "holdfast %s (%s, %s/%s)\n", versionOf(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionOf is the module's version, or "devel" and the revision that was built.
func versionOf(info *debug.BuildInfo) string {
	if info == nil {
		return "devel"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision, modified := settings["vcs.revision"], settings["vcs.modified"] == "true"
	short := revision[:min(len(revision), 12)]
	version := strings.TrimPrefix(info.Main.Version, "(devel)")
	// A clone's revision without a tag has a version that the go command made of it.
	made := revision != "" && (modified || strings.Contains(version, short))
	switch {
	case version != "" && !made:
		return version
	case revision == "":
		return "devel"
	case modified:
		return "devel, " + short + " with changes"
	default:
		return "devel, " + short
	}
}
