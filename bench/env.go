package main

import (
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// env is what the numbers depend on.
type env struct {
	Command string            `json:"command"` // repeats the run, from the root of the repository
	Go      string            `json:"go"`
	System  string            `json:"system"`
	CPUs    int               `json:"cpus"` // that the program may use; the servers share them
	Redis   string            `json:"redis"`
	Modules map[string]string `json:"modules"`

	order []string // of the modules
}

// measured are the modules whose versions matter.
var measured = []string{
	"github.com/holdfast-go/holdfast",
	"github.com/go-redsync/redsync/v4",
	"github.com/bsm/redislock",
	"github.com/redis/rueidis",
	"github.com/redis/go-redis/v9",
}

func environment(args []string) *env {
	e := &env{
		Command: strings.Join(append([]string{"cd bench && go run ."}, quoted(args)...), " "),
		Go:      runtime.Version(),
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:    runtime.GOMAXPROCS(0),
		Redis:   redisVersion(),
		Modules: make(map[string]string),
	}
	versions := make(map[string]string)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			versions[dep.Path] = dep.Version
			if dep.Replace != nil {
				versions[dep.Path] = "this tree"
			}
		}
	}
	for _, path := range measured {
		if version, ok := versions[path]; ok { // a test binary does not know
			e.Modules[path] = version
			e.order = append(e.order, path)
		}
	}
	return e
}

// quoted quotes what a shell would take for more than a word.
func quoted(args []string) []string {
	plain := regexp.MustCompile(`^[\w@%+=:,./-]+$`)
	var list []string
	for _, arg := range args {
		if !plain.MatchString(arg) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		list = append(list, arg)
	}
	return list
}

// redisVersion asks the program for its version: "Redis server v=7.0.15 sha=…".
func redisVersion() string {
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(out), "v=")
	version, _, _ := strings.Cut(rest, " ")
	return version
}

func (e *env) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %d CPUs for clients and servers together, redis-server %s\n", e.Go, e.System, e.CPUs, e.Redis)
	var list []string
	for _, path := range e.order {
		list = append(list, path+" "+e.Modules[path])
	}
	fmt.Fprintln(w, strings.Join(list, ", "))
	fmt.Fprintf(w, "again: %s\n", e.Command)
}
