package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// env is what the numbers depend on.
type env struct {
	Command string            `json:"command"` // repeats the run, from the root of the repository
	Go      string            `json:"go"`
	System  string            `json:"system"`
	CPUs    int               `json:"cpus"` // that the program may use; the servers share them
	Machine string            `json:"machine"`
	Redis   string            `json:"redis"`
	Etcd    string            `json:"etcd,omitempty"`
	Began   time.Time         `json:"began"`
	Modules map[string]string `json:"modules"`
}

// measured are the modules whose versions matter.
var measured = []string{
	"github.com/holdfast-go/holdfast",
	"github.com/go-redsync/redsync/v4",
	"github.com/bsm/redislock",
	"github.com/redis/rueidis",
	"github.com/redis/go-redis/v9",
	"go.etcd.io/etcd/client/v3",
}

func environment(args []string, server string) *env {
	e := &env{
		Command: strings.Join(append([]string{"cd bench && go run ."}, quoted(args)...), " "),
		Go:      runtime.Version(),
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:    runtime.GOMAXPROCS(0),
		Machine: machine(),
		Redis:   version(cmp.Or(server, "redis-server"), "v="),
		Etcd:    version("etcd", "etcd Version: "),
		Began:   time.Now().UTC().Truncate(time.Second),
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

// version asks a program for its version, which stands behind a mark and ends with the word: "Redis server v=7.0.15
// sha=…". It is "" when there is no such program.
func version(program, mark string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(out), mark)
	return strings.Fields(rest + " ?")[0]
}

// machine names the processor and the kernel, where the system says.
func machine() string {
	var parts []string
	text, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, found := strings.Cut(string(text), "model name\t: "); found {
		name, _, _ := strings.Cut(rest, "\n")
		parts = append(parts, name)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		parts = append(parts, unix.ByteSliceToString(u.Sysname[:])+" "+unix.ByteSliceToString(u.Release[:]))
	}
	return strings.Join(parts, ", ")
}

func (e *env) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %d CPUs for clients and servers together; %s\n", e.Go, e.System, e.CPUs, e.Machine)
	list := []string{"redis-server " + e.Redis}
	if e.Etcd != "" {
		list = append(list, "etcd "+e.Etcd)
	}
	for _, path := range measured {
		if version, ok := e.Modules[path]; ok {
			list = append(list, path+" "+version)
		}
	}
	fmt.Fprintln(w, strings.Join(list, ", "))
	fmt.Fprintf(w, "again: %s\n", e.Command)
}
